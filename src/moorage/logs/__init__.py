"""Container logs: formats, rotation, reading."""
