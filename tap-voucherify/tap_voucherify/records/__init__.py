"""Schema conformance: every record fits its schema, whatever the API sends."""
