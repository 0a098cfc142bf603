"""The demo: a CRM in PostgreSQL, the sandbox, a warehouse in DuckDB."""
