"""The name server at 127.0.0.11 of a container on a user's network."""
