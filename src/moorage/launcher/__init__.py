"""The zygote: imports everything once, seals itself, and forks shims and workers."""
