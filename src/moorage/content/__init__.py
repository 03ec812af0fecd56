"""Blobs by digest."""
