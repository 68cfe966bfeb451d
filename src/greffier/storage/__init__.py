"""All SQL: tables, one module per port, migrations."""
