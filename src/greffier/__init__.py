"""Greffier: a self-hosted platform for governed LLM use."""

__version__ = "0.1.0"
