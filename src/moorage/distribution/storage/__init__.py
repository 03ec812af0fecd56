"""Where a registry keeps its objects: a directory, or a store that speaks S3."""
