"""What a registry says about an image, without pulling it.

Spec: Engine API, GET /distribution/{name}/json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.api.descriptors import OCIDescriptor, OCIPlatform
from moorage.api.images import DistributionInspect
from moorage.errors import UnauthorizedError
from moorage.oci.descriptor import PlatformFields
from moorage.oci.image_config import IMAGE_CONFIG_SIZE_LIMIT, decode_image_config
from moorage.oci.manifest import Index
from moorage.oci.media_types import CONFIGS
from moorage.oci.reference import parse_reference
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.errors import AccessDeniedError, RegistryError, explain
from moorage.registry.gateway import RegistryGateway

if TYPE_CHECKING:
    from moorage.registry.manifests import FetchedManifest
    from moorage.registry.repository import Repository


class RemoteAccessError(UnauthorizedError):
    """The repository does not exist, or not for these credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteInspector:
    """Asks registries about images."""

    registries: RegistryGateway

    async def inspect(self, name: str, *, credentials: Credentials = ANONYMOUS) -> DistributionInspect:
        """Return the descriptor that a name stands for, and the platforms there are.

        Raises:
            ManifestNotFoundError: The registry has no such tag.
            RemoteAccessError: The repository is not for these credentials.
        """
        reference = parse_reference(name).with_default_tag()
        try:
            found, platforms = await self.registries.client().attempt(
                reference, lambda repository: _look(repository, reference.target), credentials=credentials
            )
        except RegistryError as error:
            explained = explain(error, reference=reference)
            if isinstance(explained, AccessDeniedError):
                raise RemoteAccessError(str(explained)) from error
            raise explained from error
        descriptor = OCIDescriptor(media_type=found.document.media_type, digest=found.digest, size=len(found.raw))
        return DistributionInspect(descriptor=descriptor, platforms=platforms)


async def _look(repository: Repository, target: str) -> tuple[FetchedManifest, list[OCIPlatform]]:
    found = await repository.manifest(target)
    return found, await _platforms(repository, found)


async def _platforms(repository: Repository, found: FetchedManifest) -> list[OCIPlatform]:
    if isinstance(found.document, Index):
        return [_platform(entry.platform) for entry in found.document.manifests if entry.platform]
    if found.document.config.media_type not in CONFIGS:
        return []
    raw = await repository.small_blob(found.document.config, limit=IMAGE_CONFIG_SIZE_LIMIT)
    config = decode_image_config(raw)
    return [
        OCIPlatform(
            architecture=config.architecture, os=config.os, variant=config.variant, os_version=config.os_version
        )
    ]


def _platform(fields: PlatformFields) -> OCIPlatform:
    return OCIPlatform(
        architecture=fields.architecture,
        os=fields.os,
        os_version=fields.os_version or "",
        os_features=list(fields.os_features or ()),
        variant=fields.variant or "",
    )
