"""Who may do what: passwords in a file, or tokens of another server."""
