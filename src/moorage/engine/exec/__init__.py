"""Processes added to running containers."""
