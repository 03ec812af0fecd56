"""The database: what must survive a restart."""
