"""SELinux: labels of containers and of their files."""
