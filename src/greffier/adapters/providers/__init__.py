"""Adapters: providers."""
