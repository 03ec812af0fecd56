"""User namespaces of containers."""
