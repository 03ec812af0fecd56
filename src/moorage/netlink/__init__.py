"""Netlink messages as data, and the one module that sends them."""
