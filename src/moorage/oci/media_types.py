"""Media types of manifests, image configs and layers, OCI's and Docker's.

Spec: image-spec, media-types.md; Docker's "Image Manifest Version 2, Schema 2".
"""

from typing import Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD: Final = OCI_LAYER + "+zstd"
_OCI_FOREIGN_LAYER: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"

DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = DOCKER_LAYER + ".gzip"
DOCKER_FOREIGN_LAYER: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar"

DOCKER_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
SCHEMA1: Final = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream"})
"""Configs that describe a runnable image; any other type makes the manifest an artifact. Some old registries lost
the type of configs they stored."""

ACCEPTED_MANIFESTS: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""What a registry is asked for, the richest form first."""

LAYERS: Final = frozenset(
    {
        *(OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD),
        *(_OCI_FOREIGN_LAYER, _OCI_FOREIGN_LAYER + "+gzip", _OCI_FOREIGN_LAYER + "+zstd"),
        *(DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER + ".zstd"),
        *(DOCKER_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER + ".gzip", DOCKER_FOREIGN_LAYER + ".zstd"),
        "application/octet-stream",
    }
)
"""Layers that are tars, compressed or not; how, their first bytes tell. Some old registries lost their types, too."""
