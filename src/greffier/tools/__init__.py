"""Tool catalogue, argument checks and approvals."""
