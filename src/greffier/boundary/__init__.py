"""Where a ruling becomes an effect and a record."""
