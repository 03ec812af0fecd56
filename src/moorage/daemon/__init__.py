"""The composition root of moord."""
