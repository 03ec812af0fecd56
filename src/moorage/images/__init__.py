"""References, and the manifests, configs and layers they point at."""
