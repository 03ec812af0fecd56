"""Pulling images from registries.

Spec: Engine API, POST /images/create; distribution-spec, "Pull".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from moorage.api.progress import ProgressMessage
from moorage.errors import ForbiddenError, MoorageError
from moorage.images.attestations import fetch_attestations
from moorage.images.catalog import ImageCatalog, read_index
from moorage.images.collection import ChainPins
from moorage.images.errors import UnusableImageError, explained_disk_errors
from moorage.images.events import publish_image_event
from moorage.images.flights import Flights
from moorage.images.indexes import EntryKind, KeptIndex, kind_of
from moorage.images.layers import LayerFetcher, PlannedLayer, plan_layers
from moorage.images.ports import EventPublisher
from moorage.images.progress import Report, status
from moorage.images.reading import check_image, check_layer_types, read_image
from moorage.images.records import Image
from moorage.oci.digest import Digest, digest_of
from moorage.oci.image_config import IMAGE_CONFIG_SIZE_LIMIT, decode_image_config
from moorage.oci.manifest import Index, Manifest
from moorage.oci.media_types import CONFIGS
from moorage.oci.platform import Platform, host_platform, matches, select
from moorage.oci.reference import Reference
from moorage.oci.referrer_tags import is_tag_of_referrers
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.errors import ManifestNotFoundError, RegistryError, explain
from moorage.registry.gateway import RegistryGateway
from moorage.signatures.gate import SignatureGate

if TYPE_CHECKING:
    from moorage.content.store import BlobStore
    from moorage.oci.image_config import ImageConfig
    from moorage.registry.manifests import FetchedManifest
    from moorage.registry.repository import Repository
    from moorage.signatures.verifying import Demands
    from moorage.snapshots.store import SnapshotStore

_NEWS: Final = "Status: Downloaded newer image for"
_NO_NEWS: Final = "Status: Image is up to date for"
_Key = tuple[str, Platform | None, Credentials]


class ReservedNameError(ForbiddenError):
    """The name means the absence of an image."""

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name}' is a reserved name")


class NoMatchingManifestError(ManifestNotFoundError):
    """An index has nothing for the platform."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(f"no matching manifest for {platform} in the manifest list entries")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pull:
    """One request.

    Attributes:
        platform: What was asked for explicitly.
        demands: What must be verified; None when nothing.
    """

    reference: Reference
    platform: Platform | None
    report: Report
    demands: Demands | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolved:
    """What a name turned out to be.

    Attributes:
        digest: Of the index or manifest that the name points at: the digest people see.
        index: What `raw_index` says, if the name points at one.
        attestations: What speaks about the image, by the digests of manifests and of what they list.
        raw_config: The exact bytes of `config`.
    """

    digest: Digest
    index: KeptIndex | None
    raw_index: bytes
    raw_manifest: bytes
    manifest: Manifest
    raw_config: bytes
    config: ImageConfig
    layers: list[PlannedLayer]
    attestations: dict[Digest, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePuller:
    """Pulls images; requests for the same image share the work."""

    catalog: ImageCatalog
    blobs: BlobStore
    snapshots: SnapshotStore
    layers: LayerFetcher
    registries: RegistryGateway
    events: EventPublisher
    pins: ChainPins
    signatures: SignatureGate
    _flights: Flights[_Key, None] = field(default_factory=Flights)

    async def pull(
        self,
        reference: Reference,
        *,
        report: Report,
        platform: Platform | None = None,
        credentials: Credentials = ANONYMOUS,
    ) -> None:
        """Pull what a tag or digest stands for; a bare repository is pulled with all its tags.

        Args:
            report: Hears Docker's progress messages. Nothing is reported before the registry knows the image.
            platform: Which image of an index; None takes the host's.

        Raises:
            ManifestNotFoundError: The registry has no such tag, or nothing for the platform.
            ImageRefusedError: The signature policy does not accept the image.
            AccessDeniedError: The repository does not exist, or it is not for these credentials.
            ReservedNameError: There is no image of that name, nor can be.
            MoorageError: Registry, network or content failed.
        """
        if reference.familiar_repository == "scratch":
            raise ReservedNameError(reference.familiar_repository)
        if reference.tag is None and reference.digest is None:
            await self._pull_all(reference, report=report, platform=platform, credentials=credentials)
            return

        async def start(report: Report) -> None:
            demands = await self.signatures.demands(reference)
            pull = _Pull(reference=reference, platform=platform, report=report, demands=demands)
            with explained_disk_errors():
                await self._pull_anywhere(pull, credentials=credentials)

        await self._flights.join((reference.canonical, platform, credentials), start, report=report)

    async def _pull_all(
        self, reference: Reference, *, report: Report, platform: Platform | None, credentials: Credentials
    ) -> None:
        try:
            tags = await self.registries.client().attempt(
                reference, lambda repository: repository.tags(), credentials=credentials
            )
        except RegistryError as error:
            raise explain(error, reference=reference) from error
        news = False

        def without_status(message: ProgressMessage) -> None:
            nonlocal news
            if message.status.startswith("Status: "):
                news = news or message.status.startswith(_NEWS)
            else:
                report(message)

        for tag in tags:
            if is_tag_of_referrers(tag):
                continue
            await self.pull(reference.with_tag(tag), report=without_status, platform=platform, credentials=credentials)
        report(status(f"{_NEWS if news else _NO_NEWS} {reference.familiar}"))

    async def _pull_anywhere(self, pull: _Pull, *, credentials: Credentials) -> None:
        try:
            await self.registries.client().attempt(
                pull.reference, lambda repository: self._pull_from(repository, pull), credentials=credentials
            )
        except RegistryError as error:
            raise explain(error, reference=pull.reference) from error

    async def _pull_from(self, repository: Repository, pull: _Pull) -> None:
        if (current := await self._up_to_date(repository, pull)) is not None:
            self._start_report(pull)
            self._finish(pull, image=current[0], digest=current[1], news=False)
            return
        resolved = await self._resolve(repository, pull)
        self._start_report(pull)
        with self.pins.hold([layer.chain_id for layer in resolved.layers]), self.blobs.hold() as hold:
            hold.add(digest_of(resolved.raw_manifest), resolved.manifest.config.digest)
            hold.add(*[layer.blob.digest for layer in resolved.layers])
            hold.add(resolved.digest, *resolved.attestations)
            await self.layers.fetch(repository, resolved.layers, report=pull.report)
            image, news = await self._store(resolved, pull)
        self._finish(pull, image=image, digest=resolved.digest, news=news)

    def _start_report(self, pull: _Pull) -> None:
        pull.report(status(f"Pulling from {pull.reference.path}", id=pull.reference.target))

    async def _up_to_date(self, repository: Repository, pull: _Pull) -> tuple[Image, Digest] | None:
        """Return the image when the registry still means the one that is here.

        A HEAD request does not count against Docker Hub's limit of pulls, and a deployment asks often.
        """
        if pull.demands is not None:
            # What is here may have come before the policy.
            return None
        wanted = pull.platform or host_platform()
        image = self.catalog.named(pull.reference, platform=wanted)
        if image is None:
            return None
        try:
            digest = pull.reference.digest or await repository.manifest_digest(pull.reference.target)
        except MoorageError:
            # HEAD answers carry no explanation: let GET fail with one.
            return None
        if digest is None:
            return None
        known = self.catalog.named(pull.reference.bare().with_digest(digest), platform=wanted)
        if known is None or known.id != image.id or not self._is_whole(image, pull.reference, digest):
            return None
        return image, digest

    def _is_whole(self, image: Image, reference: Reference, digest: Digest) -> bool:
        """Tell whether nothing was lost of an image, or set aside because it is damaged."""
        index = self.catalog.index_of(reference)
        if digest != image.manifest and (index is None or index.digest != digest):
            return False
        wanted = {digest, image.manifest, image.config_blob.digest, *(layer.blob.digest for layer in image.layers)}
        return all(map(self.blobs.contains, wanted)) and all(map(self.snapshots.contains, image.chain_ids))

    async def _resolve(self, repository: Repository, pull: _Pull) -> _Resolved:
        top = await repository.manifest(pull.reference.target)
        chosen = await self._choose(repository, top, wanted=pull.platform or host_platform())
        if pull.demands is not None:
            # Both are known by digest now, and whatever follows is fetched by a digest in them.
            await pull.demands.check(repository, digests=(top.digest, chosen.digest))
        manifest = chosen.document
        if not isinstance(manifest, Manifest):
            raise UnusableImageError(f"{chosen.digest} is an index inside an index")
        if manifest.config.media_type not in CONFIGS:
            raise UnusableImageError(f'unsupported media type "{manifest.config.media_type}": this is not an image')
        check_layer_types(manifest)
        raw_config = await repository.small_blob(manifest.config, limit=IMAGE_CONFIG_SIZE_LIMIT)
        config = decode_image_config(raw_config)
        check_image(manifest, config=config)
        index = read_index(top.raw, top.digest) if isinstance(top.document, Index) else None
        return _Resolved(
            digest=top.digest,
            index=index,
            raw_index=top.raw if index else b"",
            attestations=await fetch_attestations(repository, index, about=chosen.digest) if index else {},
            raw_manifest=chosen.raw,
            manifest=manifest,
            raw_config=raw_config,
            config=config,
            layers=plan_layers(manifest, config=config),
        )

    async def _choose(self, repository: Repository, top: FetchedManifest, *, wanted: Platform) -> FetchedManifest:
        if not isinstance(top.document, Index):
            return top
        images = [entry for entry in top.document.manifests if kind_of(entry) is EntryKind.IMAGE]
        entry = select(images, wanted=wanted)
        if entry is None:
            raise NoMatchingManifestError(wanted)
        return await repository.manifest(entry.digest)

    async def _store(self, resolved: _Resolved, pull: _Pull) -> tuple[Image, bool]:
        """Record the image and its names; return whether anything is new."""
        await self.blobs.put(resolved.raw_config)
        for blob in (resolved.raw_index, *resolved.attestations.values()):
            if blob:
                await self.blobs.put(blob)
        manifest_digest = await self.blobs.put(resolved.raw_manifest)
        image = await read_image(manifest_digest, blobs=self.blobs, snapshots=self.snapshots, created_ns=time.time_ns())
        names = [pull.reference.bare().with_digest(resolved.digest)]
        if pull.reference.digest is None:
            names.append(pull.reference)
        async with self.catalog.changing():
            news = any(self._is_news(name, image) for name in names)
            return await self.catalog.add(image, names=names, target=resolved.index, from_registry=True), news

    def _is_news(self, name: Reference, image: Image) -> bool:
        known = self.catalog.named(name, platform=image.platform)
        return known is None or known.id != image.id

    def _finish(self, pull: _Pull, *, image: Image, digest: Digest, news: bool) -> None:
        reference = pull.reference
        pull.report(status(f"Digest: {digest}"))
        pull.report(status(f"{_NEWS if news else _NO_NEWS} {reference.familiar}"))
        if pull.platform is not None and not matches(image.platform, wanted=pull.platform):
            pull.report(
                status(
                    f"WARNING: image with reference {reference.familiar} was found but its platform ({image.platform})"
                    f" does not match the specified platform ({pull.platform})"
                )
            )
        publish_image_event(
            self.events, "pull", image=image, actor_id=reference.familiar, name=reference.familiar_repository
        )
