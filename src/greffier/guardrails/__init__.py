"""Detectors measure, screens decide."""
