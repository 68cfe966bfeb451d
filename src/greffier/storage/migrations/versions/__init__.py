"""One file per revision, each forward on a live system."""
