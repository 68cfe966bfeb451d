"""Adapters: anchors of the log outside our own domain."""
