"""Control groups, version 1, version 2 and hybrid: where a group is and what to write in it."""
