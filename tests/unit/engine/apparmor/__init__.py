"""AppArmor profiles."""
