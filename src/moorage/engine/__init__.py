"""The rules of the platform: what a container may do and when."""
