"""Registry, releases, privacy, incidents: acts of people."""
