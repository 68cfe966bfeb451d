"""The provider port, token counting and cost."""
