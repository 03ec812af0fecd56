"""An image as the rest of the engine sees it."""

from dataclasses import dataclass, field

from moorage.api.timestamps import MalformedTimeError, read_time
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import ChainID, DiffID, Digest
from moorage.oci.image_config import ImageConfig
from moorage.oci.platform import Platform, normalise
from moorage.state.images import ImageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """One layer of an image.

    Attributes:
        blob: The layer as it came, in the content store.
        diff_id: Digest of its uncompressed tar.
        chain_id: Identity of the stack up to this layer; its snapshot.
        size: Bytes it takes unpacked.
    """

    blob: Descriptor
    diff_id: DiffID
    chain_id: ChainID
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image that is whole: its blobs and its snapshots are here.

    Attributes:
        id: Digest of the image config.
        manifest: Digest of the manifest in the content store.
        layers: Base first.
        parent: The image it was committed or built from on this engine.
        created_ns: When it came here; `config.created` is when it was made.
        last_tagged_ns: 0 when it never was tagged here.
    """

    id: Digest
    manifest: Digest
    config: ImageConfig = field(repr=False)
    config_blob: Descriptor = field(repr=False)
    layers: tuple[ImageLayer, ...] = field(repr=False)
    parent: Digest | None
    created_ns: int
    last_tagged_ns: int

    @property
    def chain_id(self) -> ChainID | None:
        """The snapshot a container of this image stands on; None for an image without layers."""
        return self.layers[-1].chain_id if self.layers else None

    @property
    def chain_ids(self) -> tuple[ChainID, ...]:
        """The snapshots of all layers, base first."""
        return tuple(layer.chain_id for layer in self.layers)

    @property
    def diff_ids(self) -> tuple[DiffID, ...]:
        """Digests of the layers' uncompressed tars, base first."""
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def size(self) -> int:
        """Bytes of all layers, unpacked."""
        return sum(layer.size for layer in self.layers)

    @property
    def platform(self) -> Platform:
        """Where the image runs."""
        return normalise(os=self.config.os, architecture=self.config.architecture, variant=self.config.variant)

    @property
    def made_ns(self) -> int:
        """When the image was made, in nanoseconds since 1970; 0 when its config does not say."""
        return read_created(self.config.created) or 0

    @property
    def labels(self) -> dict[str, str]:
        """The labels that containers inherit and filters match."""
        return self.config.config.labels or {}

    @property
    def row(self) -> ImageRow:
        """What is persisted; the rest is read from the content store."""
        return ImageRow(
            id=self.id,
            manifest=self.manifest,
            parent=self.parent,
            created_ns=self.created_ns,
            last_tagged_ns=self.last_tagged_ns,
        )


def read_created(text: str | None) -> int | None:
    """Return the nanoseconds since 1970 of a time in an image config; None when it says nothing."""
    if not text or "T" not in text.upper():
        return None
    try:
        moment = read_time(text.upper(), now=0)
    except MalformedTimeError:
        return None
    # Go writes the year 1 for a time that was never set.
    return moment if moment > -(1 << 61) else None
