"""Events of the journal in the schemas of security operations: OCSF, ECS, CEF, RFC 5424. No I/O."""
