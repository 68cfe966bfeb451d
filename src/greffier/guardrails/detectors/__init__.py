"""Detectors: each measures one kind of thing and never acts."""
