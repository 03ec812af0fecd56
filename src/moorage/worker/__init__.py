"""Short-lived forks of the launcher that read or write one file system: unpack, pack, archive, diff."""
