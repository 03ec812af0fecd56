"""OCI descriptors and platforms as the Engine API prints them.

Spec: Engine API, definitions "OCIDescriptor" and "OCIPlatform".
"""

from msgspec import field

from moorage.api.wire import Model


class OCIPlatform(Model, rename="lower"):
    """An operating system and processor."""

    architecture: str = ""
    os: str = ""
    os_version: str = field(default="", name="os.version")
    os_features: list[str] = field(default_factory=list, name="os.features")
    variant: str = ""


class OCIDescriptor(Model, rename="camel"):
    """What names a blob: type, digest and size in bytes."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    urls: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    data: str = ""
    platform: OCIPlatform | None = None
    artifact_type: str = ""
