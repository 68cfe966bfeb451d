"""Scripted peers and contract suites for plugin authors."""
