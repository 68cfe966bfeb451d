"""Which deployment answers, and which may stand in for it."""
