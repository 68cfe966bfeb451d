"""Adapters: idp."""
