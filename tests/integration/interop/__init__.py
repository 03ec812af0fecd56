"""`moor-oci` under other engines: podman, containerd, Docker."""
