"""The demo: a CRM in PostgreSQL, a stand-in for Voucherify, a warehouse in DuckDB."""
