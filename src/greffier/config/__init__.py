"""Workspace files in, an immutable, hashed Snapshot out."""
