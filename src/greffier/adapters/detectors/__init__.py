"""Adapters: detectors."""
