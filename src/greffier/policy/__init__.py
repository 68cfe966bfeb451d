"""May they: RBAC and ABAC rules, purpose and lawful basis, default deny."""
