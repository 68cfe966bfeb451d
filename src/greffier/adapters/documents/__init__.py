"""Adapters: documents."""
