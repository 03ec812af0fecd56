"""Moorage: a container platform for anyone who has Python and Linux."""
