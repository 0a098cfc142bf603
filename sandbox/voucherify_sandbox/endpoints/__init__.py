"""The endpoints: one function of project and request for each operation."""
