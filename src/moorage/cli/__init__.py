"""The moor command."""
