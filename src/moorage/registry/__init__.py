"""Talking to registries: the distribution specification, client side."""
