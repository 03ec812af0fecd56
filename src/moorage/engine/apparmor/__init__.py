"""AppArmor: the profile of containers that name none."""
