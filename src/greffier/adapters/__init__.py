"""I/O outwards: providers, detectors, sinks, secrets, identity providers, signers."""
