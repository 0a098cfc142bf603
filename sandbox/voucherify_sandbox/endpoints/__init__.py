"""What each operation does: one short function of a project and a request."""
