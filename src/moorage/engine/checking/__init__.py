"""Finding and mending what a crash or a human broke in the store."""
