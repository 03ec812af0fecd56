"""SELinux labels."""
