"""Layers unpacked, addressed by chain ID, and the overlay mounts made of them."""
