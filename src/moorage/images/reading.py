"""Building an image's record from its content."""

from moorage.content.store import BlobStore
from moorage.images.errors import UnusableImageError
from moorage.images.records import Image, ImageLayer
from moorage.oci.digest import ChainID, Digest, chain_ids
from moorage.oci.image_config import IMAGE_CONFIG_SIZE_LIMIT, ImageConfig, decode_image_config
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Manifest, decode_manifest
from moorage.oci.media_types import LAYERS
from moorage.snapshots.store import SnapshotStore

_SUPPORTED_OS = "linux"
# The kernel's overlay takes 500 lower layers, and a container needs one of them for itself.
_LAYERS_LIMIT = 499


async def read_image(
    manifest_digest: Digest,
    *,
    blobs: BlobStore,
    snapshots: SnapshotStore,
    created_ns: int,
    parent: Digest | None = None,
) -> Image:
    """Read manifest and config, and unpack what is not unpacked yet.

    Raises:
        UnusableImageError: The two do not belong together, or do not describe an image for this engine.
        BlobNotFoundError: A blob is missing.
    """
    raw = await blobs.read(manifest_digest, limit=MANIFEST_SIZE_LIMIT)
    manifest = decode_manifest(raw)
    if not isinstance(manifest, Manifest):
        raise UnusableImageError(f"{manifest_digest} is an index, not a manifest")
    config = decode_image_config(await blobs.read(manifest.config.digest, limit=IMAGE_CONFIG_SIZE_LIMIT))
    check_image(manifest, config=config)
    layers: list[ImageLayer] = []
    below: ChainID | None = None
    chains = chain_ids(config.rootfs.diff_ids)
    for blob, diff_id, chain in zip(manifest.layers, config.rootfs.diff_ids, chains, strict=True):
        # A crash between storing the blobs and unpacking them is repaired here.
        if not snapshots.contains(chain):
            await snapshots.apply(parent=below, diff_id=diff_id, source=blobs.path(blob.digest))
        layers.append(ImageLayer(blob=blob, diff_id=diff_id, chain_id=chain, size=snapshots.get(chain).size))
        below = chain
    return Image(
        id=manifest.config.digest,
        manifest=manifest_digest,
        config=config,
        config_blob=manifest.config,
        layers=tuple(layers),
        parent=parent,
        created_ns=created_ns,
        last_tagged_ns=0,
    )


def check_layer_types(manifest: Manifest) -> None:
    """Check that every layer of an image that comes from outside is a tar.

    Raises:
        UnusableImageError: One is something else: encrypted, or not of a file system at all.
    """
    for layer in manifest.layers:
        if layer.media_type not in LAYERS:
            raise UnusableImageError(f'unsupported media type "{layer.media_type}": this is not a layer of an image')


def check_image(manifest: Manifest, *, config: ImageConfig) -> None:
    """Check that a manifest and a config make one image for this engine.

    Raises:
        UnusableImageError: They do not.
    """
    if len(manifest.layers) != len(config.rootfs.diff_ids):
        raise UnusableImageError("layers from manifest don't match image configuration")
    if len(manifest.layers) > _LAYERS_LIMIT:
        raise UnusableImageError("max depth exceeded")
    for blob in (manifest.config, *manifest.layers):
        if not blob.digest.startswith("sha256:"):
            raise UnusableImageError(f"unsupported digest algorithm: {blob.digest}")
    if config.os and config.os != _SUPPORTED_OS:
        raise UnusableImageError(
            f'image operating system "{config.os}" cannot be used on this platform: operating system is not supported'
        )
