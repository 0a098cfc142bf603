"""Records that fit their schema, whatever the API sends."""
