"""The nouns of the OCI specifications: digests, references, manifests, tar headers."""
