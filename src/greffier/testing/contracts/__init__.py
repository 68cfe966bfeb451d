"""Contract suites: what every implementation of a port must do, to be subclassed beside the implementation's tests."""
