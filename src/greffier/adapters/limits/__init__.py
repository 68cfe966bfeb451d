"""Adapters: limits."""
