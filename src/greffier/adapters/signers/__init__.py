"""Adapters: signers."""
