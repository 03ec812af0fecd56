"""Handlers of the noun image."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from moorage.api import endpoints, images
from moorage.api.descriptors import OCIPlatform
from moorage.api.endpoint import NoBody, StreamBody
from moorage.api.filters import Filters
from moorage.api.progress import ProgressMessage
from moorage.api.query import NoQuery
from moorage.api.streams import JSONLines, TarStream
from moorage.api.versions import Version
from moorage.errors import InvalidParameterError
from moorage.images.assembly import Images
from moorage.images.feeds import feed
from moorage.images.progress import Report, bar, status
from moorage.images.tagging import repository_and_tag
from moorage.oci.platform import Platform, normalise, parse_platform
from moorage.oci.reference import Reference, check_digest, is_digest, parse_reference
from moorage.registry.credentials import decode_credentials
from moorage.server.calls import Call
from moorage.server.closing import closing
from moorage.server.handlers.former_images import summary_for
from moorage.server.router import Router

_SHARED_SIZES: Final = Version(1, 42)
_WITHOUT_OLD_FILTER: Final = Version(1, 41)
_LISTS_MANIFESTS: Final = Version(1, 47)
_COUNTS_CONTAINERS: Final = Version(1, 51)
_SHOWN_EVERY: Final = 1 << 20


class NoSourceError(InvalidParameterError):
    """Neither an image to pull nor something to import was named."""

    def __init__(self) -> None:
        super().__init__("one of fromImage and fromSrc is required")


class InvalidPlatformObjectError(InvalidParameterError):
    """A platform parameter is not the JSON object it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(f"failed to parse platform: {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHandlers:
    """List, pull, import, load, save, push, tag, inspect, search and remove images."""

    services: Images

    def bind(self, router: Router) -> None:
        """Give the router every handler of this noun."""
        router.bind(endpoints.IMAGE_LIST, self.list_images)
        router.bind(endpoints.IMAGE_CREATE, self.create)
        router.bind(endpoints.IMAGE_INSPECT, self.inspect)
        router.bind(endpoints.IMAGE_ATTESTATIONS, self.attestations)
        router.bind(endpoints.IMAGE_HISTORY, self.history)
        router.bind(endpoints.IMAGE_PUSH, self.push)
        router.bind(endpoints.IMAGE_TAG, self.tag)
        router.bind(endpoints.IMAGE_DELETE, self.remove)
        router.bind(endpoints.IMAGE_SEARCH, self.search)
        router.bind(endpoints.IMAGE_PRUNE, self.prune)
        router.bind(endpoints.IMAGE_GET, self.save_one)
        router.bind(endpoints.IMAGE_GET_ALL, self.save)
        router.bind(endpoints.IMAGE_LOAD, self.load)
        router.bind(endpoints.DISTRIBUTION_INSPECT, self.inspect_remote)

    def list_images(self, call: Call[images.ImageListQuery, NoBody]) -> list[images.ImageSummary]:
        """Answer GET /images/json."""
        query = call.query
        filters = query.filters
        if query.filter and call.version < _WITHOUT_OLD_FILTER:
            filters = Filters({**filters.values, "reference": (query.filter,)})
        found = self.services.lister.list_images(
            filters,
            all=query.all,
            shared_size=query.shared_size and call.version >= _SHARED_SIZES,
            containers=call.version >= _COUNTS_CONTAINERS,
            manifests=query.manifests and call.version >= _LISTS_MANIFESTS,
        )
        return [summary_for(one, version=call.version) for one in found]

    def create(self, call: Call[images.ImageCreateQuery, StreamBody]) -> JSONLines[ProgressMessage]:
        """Answer POST /images/create: a pull, or an import."""
        query = call.query
        platform = parse_platform(query.platform) if query.platform else None
        if query.from_image:
            reference = _pulled_reference(query)
            credentials = decode_credentials(call.headers.get("x-registry-auth"))

            async def pull(report: Report) -> None:
                await self.services.puller.pull(reference, report=report, platform=platform, credentials=credentials)

            return JSONLines(feed(pull))
        if not query.from_src:
            raise NoSourceError
        name = repository_and_tag(query.repo, tag=query.tag) if query.repo else None
        source = _body(call) if query.from_src == "-" else None

        async def import_archive(report: Report) -> None:
            image = await self.services.importer.import_archive(
                source or self._download(query.from_src, report=report),
                message=query.message or f"Imported from {query.from_src}",
                changes=query.changes,
                platform=platform,
                name=name,
            )
            report(status(image.id))

        return JSONLines(feed(import_archive))

    def inspect(self, call: Call[images.ImageInspectQuery, NoBody]) -> images.ImageInspect:
        """Answer GET /images/{name}/json."""
        if call.query.manifests and call.query.platform:
            raise InvalidParameterError("conflicting options: manifests and platform options cannot both be set")
        platform = _platform(call.query.platform)
        return self.services.inspector.inspect(
            call.path["name"], version=call.version, platform=platform, manifests=call.query.manifests
        )

    async def attestations(
        self, call: Call[images.ImageAttestationsQuery, NoBody]
    ) -> list[images.AttestationStatement]:
        """Answer GET /images/{name}/attestations."""
        query = call.query
        if len(query.platform) > 1:
            raise InvalidParameterError("only one platform can be specified")
        platform = _platform(query.platform[0]) if query.platform else None
        return await self.services.attestations.of(
            call.path["name"], platform=platform, types=query.type, statements=query.statement
        )

    def history(self, call: Call[images.ImageHistoryQuery, NoBody]) -> list[images.ImageHistoryItem]:
        """Answer GET /images/{name}/history."""
        return self.services.historian.history(call.path["name"], platform=_platform(call.query.platform))

    def push(self, call: Call[images.ImagePushQuery, StreamBody]) -> JSONLines[ProgressMessage]:
        """Answer POST /images/{name}/push."""
        reference = parse_reference(call.path["name"]).bare()
        if call.query.tag:
            reference = reference.with_tag(call.query.tag)
        platform = _platform(call.query.platform)
        if platform is not None:
            self.services.catalog.resolve(reference.familiar, platform=platform)
        credentials = decode_credentials(call.headers.get("x-registry-auth"))

        async def push(report: Report) -> None:
            await self.services.pusher.push(reference, report=report, credentials=credentials, platform=platform)

        return JSONLines(feed(push))

    async def tag(self, call: Call[images.ImageTagQuery, NoBody]) -> None:
        """Answer POST /images/{name}/tag."""
        name = repository_and_tag(call.query.repo, tag=call.query.tag)
        await self.services.tagger.tag(call.path["name"], name=name)

    async def remove(self, call: Call[images.ImageDeleteQuery, NoBody]) -> list[images.ImageDeleteItem]:
        """Answer DELETE /images/{name}."""
        if not call.path["name"].strip():
            raise InvalidParameterError("image name cannot be blank")
        if platforms := _platforms(call.query.platforms):
            return await self.services.remover.remove_platforms(call.path["name"], platforms, force=call.query.force)
        return await self.services.remover.remove(
            call.path["name"], force=call.query.force, prune_parents=not call.query.noprune
        )

    async def search(self, call: Call[images.ImageSearchQuery, NoBody]) -> list[images.ImageSearchResult]:
        """Answer GET /images/search."""
        return await self.services.searcher.search(call.query.term, limit=call.query.limit, filters=call.query.filters)

    async def prune(self, call: Call[images.ImagePruneQuery, NoBody]) -> images.ImagePruneResponse:
        """Answer POST /images/prune."""
        return await self.services.pruner.prune(call.query.filters)

    async def save_one(self, call: Call[images.ImageSaveQuery, NoBody]) -> TarStream:
        """Answer GET /images/{name}/get."""
        return await self._save([call.path["name"]], platforms=call.query.platform)

    async def save(self, call: Call[images.ImageSaveQuery, NoBody]) -> TarStream:
        """Answer GET /images/get."""
        return await self._save(call.query.names, platforms=call.query.platform)

    def load(self, call: Call[images.ImageLoadQuery, StreamBody]) -> JSONLines[ProgressMessage]:
        """Answer POST /images/load."""
        platforms = _platforms(call.query.platform)

        async def load(report: Report) -> None:
            await self.services.loader.load(_body(call), report=report, quiet=call.query.quiet, platforms=platforms)

        # As in Docker, a client hears of a broken archive in the stream, never by a status. And not before there is
        # something to tell: some clients take the head for the end of a quiet load, and hang up.
        return JSONLines(feed(load), errors_inside=True)

    async def inspect_remote(self, call: Call[NoQuery, NoBody]) -> images.DistributionInspect:
        """Answer GET /distribution/{name}/json."""
        credentials = decode_credentials(call.headers.get("x-registry-auth"))
        return await self.services.remote.inspect(call.path["name"], credentials=credentials)

    async def _save(self, names: list[str], *, platforms: list[str]) -> TarStream:
        stack = contextlib.AsyncExitStack()
        saving = self.services.saver.save(names, platforms=_platforms(platforms))
        return TarStream(closing(stack, await stack.enter_async_context(saving)))

    async def _download(self, source: str, *, report: Report) -> AsyncIterator[bytes]:
        url = source if urlsplit(source).scheme in {"http", "https"} else f"http://{source}"
        done = shown = 0
        async for chunk in self.services.registries.client().download(url):
            if not done:
                # Not before there is something: until then an error still is a status.
                report(status(f"Downloading from {url}"))
            done += len(chunk)
            if done - shown >= _SHOWN_EVERY:
                shown = done
                report(bar("", "Importing", current=done, total=0))
            yield chunk


def _pulled_reference(query: images.ImageCreateQuery) -> Reference:
    reference = parse_reference(query.from_image)
    if not query.tag:
        return reference
    if is_digest(query.tag):
        return reference.bare().with_digest(check_digest(query.tag))
    return reference if reference.digest else reference.with_tag(query.tag)


async def _body(
    call: Call[images.ImageCreateQuery, StreamBody] | Call[images.ImageLoadQuery, StreamBody],
) -> AsyncIterator[bytes]:
    async for chunk in call.stream:
        yield chunk


def _platforms(texts: list[str]) -> list[Platform]:
    return [platform for text in texts if (platform := _platform(text)) is not None]


def _platform(text: str) -> Platform | None:
    """Read a platform written as a JSON object."""
    if not text:
        return None
    try:
        given = msgspec.json.decode(text, type=OCIPlatform)
    except msgspec.MsgspecError as error:
        raise InvalidPlatformObjectError(text) from error
    return normalise(os=given.os, architecture=given.architecture, variant=given.variant, os_version=given.os_version)
