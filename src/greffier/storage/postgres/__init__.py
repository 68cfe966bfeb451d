"""The ports of `storage` on PostgreSQL 15 or newer."""
