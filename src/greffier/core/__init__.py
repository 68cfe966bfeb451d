"""Frozen types that flow through the request path. No I/O."""
