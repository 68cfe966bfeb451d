"""Adapters: how recipients of personal data are told."""
