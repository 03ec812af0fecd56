"""User namespaces: which IDs of the host a container's IDs are."""
