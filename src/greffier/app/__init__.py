"""Composition root: names every concrete class; nobody but the command line imports it."""
