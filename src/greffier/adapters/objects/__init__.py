"""Adapters: object storage."""
