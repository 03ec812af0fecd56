"""What images take on the disk, with shared layers counted once."""

from collections import Counter
from dataclasses import dataclass

from moorage.images.catalog import ImageCatalog
from moorage.images.records import Image
from moorage.oci.digest import ChainID, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUsage:
    """Bytes taken by all images together, and by each with others.

    Attributes:
        layers_size: Every layer once.
        shared: By image, the bytes of layers that another image has too.
    """

    layers_size: int
    shared: dict[Digest, int]


def image_usage(catalog: ImageCatalog) -> ImageUsage:
    """Count the layers of all images."""
    images = catalog.images()
    holders: Counter[ChainID] = Counter(layer.chain_id for image in images for layer in image.layers)
    sizes = {layer.chain_id: layer.size for image in images for layer in image.layers}
    return ImageUsage(
        layers_size=sum(sizes.values()),
        shared={image.id: _shared(image, holders=holders) for image in images},
    )


def _shared(image: Image, *, holders: Counter[ChainID]) -> int:
    return sum(layer.size for layer in image.layers if holders[layer.chain_id] > 1)
