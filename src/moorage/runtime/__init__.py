"""The OCI runtime: from a bundle to a running process."""
