"""``moor registry``: a registry of images and artifacts, as the distribution specification has it."""
