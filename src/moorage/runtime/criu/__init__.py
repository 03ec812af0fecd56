"""Checkpoint and restore: a container's processes written to files by CRIU, and made again from them."""
