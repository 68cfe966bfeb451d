"""What holds for all tests, in whichever process they run."""

import os

# Worker processes are told the width of the terminal; what commands print into a pipe must not depend on it.
os.environ.pop("COLUMNS", None)
