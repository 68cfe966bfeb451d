"""Workspaces to start from, shipped as package data."""
