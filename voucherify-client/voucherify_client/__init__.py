"""What both plugins need of HTTP, and of ending well."""
