"""Network links, addresses, routes and nf_tables by netlink messages, built from plain bytes.

Every module but `socket` is pure: it turns arguments into messages, and answers into
values. Standard library only, because the shim configures its container's network.
"""
