"""The images package on a directory of its own: real stores, real workers, a real database."""

import contextlib
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moorage.api.progress import ProgressMessage
from moorage.content.store import BlobStore
from moorage.engine.jobs import Jobs
from moorage.images.attestations import Attestations
from moorage.images.catalog import ImageCatalog
from moorage.images.collection import ChainPins, ImageCollector
from moorage.images.committing import ImageCommitter
from moorage.images.compressing import LayerCompressor
from moorage.images.history import ImageHistorian
from moorage.images.importing import ImageImporter
from moorage.images.inspecting import ImageInspector
from moorage.images.layers import LayerFetcher
from moorage.images.listing import ImageLister
from moorage.images.loading import ImageLoader
from moorage.images.manifests import ManifestSummaries
from moorage.images.ports import ImageUser
from moorage.images.pruning import ImagePruner
from moorage.images.pulling import ImagePuller
from moorage.images.pushing import ImagePusher
from moorage.images.records import Image
from moorage.images.removing import ImageRemover
from moorage.images.saving import ImageSaver
from moorage.images.slots import Slots
from moorage.images.tagging import ImageTagger
from moorage.images.writing import ImageWriter
from moorage.oci.digest import ChainID, Digest
from moorage.oci.platform import Platform
from moorage.oci.reference import parse_reference
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.gateway import RegistryGateway
from moorage.signatures.gate import SignatureGate
from moorage.signatures.settings import SignatureSettings
from moorage.snapshots.store import SnapshotStore
from moorage.snapshots.workers import DirectWorkers
from moorage.state.database import Database
from moorage.state.images import ImageRows
from moorage.state.migrations import MIGRATIONS


@dataclass
class FakeUsers:
    """Containers, as far as images know them."""

    users: dict[Digest, list[ImageUser]] = field(default_factory=dict)
    chains: set[ChainID] = field(default_factory=set)

    def users_of(self, image_id: Digest) -> Sequence[ImageUser]:
        return self.users.get(image_id, [])

    def manifests_in_use(self) -> Collection[Digest]:
        return ()

    def chains_in_use(self) -> Collection[ChainID]:
        return self.chains


@dataclass
class RecordedEvents:
    """What was published: action, actor and attributes."""

    events: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] = {}) -> None:
        assert kind == "image"
        self.events.append((action, actor_id, dict(attributes)))

    @property
    def actions(self) -> list[str]:
        return [action for action, _, _ in self.events]


class Engine:
    """All services of images over one set of stores."""

    def __init__(
        self, *, database: Database, blobs: BlobStore, snapshots: SnapshotStore, settings: RegistrySettings
    ) -> None:
        self.blobs = blobs
        self.snapshots = snapshots
        self.database = database
        self.users = FakeUsers()
        self.events = events = RecordedEvents()
        self.pins = pins = ChainPins()
        self.catalog = catalog = ImageCatalog(table=ImageRows(database), blobs=blobs, snapshots=snapshots)
        self.gate = gate = SignatureGate(SignatureSettings(default_policy=Path("/nowhere/policy.json")))
        self.registries = registries = RegistryGateway(settings=settings)
        self.collector = collector = ImageCollector(
            catalog=catalog, blobs=blobs, snapshots=snapshots, users=self.users, pins=pins
        )
        self.writer = writer = ImageWriter(catalog=catalog, blobs=blobs, snapshots=snapshots)
        self.puller = ImagePuller(
            catalog=catalog,
            blobs=blobs,
            snapshots=snapshots,
            layers=LayerFetcher(blobs=blobs, snapshots=snapshots, slots=Slots(3)),
            registries=registries,
            events=events,
            pins=pins,
            signatures=gate,
        )
        self.pusher = ImagePusher(
            catalog=catalog,
            blobs=blobs,
            compressor=LayerCompressor(catalog=catalog, blobs=blobs),
            collector=collector,
            registries=registries,
            events=events,
            signatures=gate,
        )
        self.importer = ImageImporter(writer=writer, blobs=blobs, collector=collector, pins=pins, events=events)
        self.loader = ImageLoader(
            catalog=catalog,
            blobs=blobs,
            snapshots=snapshots,
            collector=collector,
            pins=pins,
            events=events,
            importer=self.importer,
        )
        self.saver = ImageSaver(catalog=catalog, blobs=blobs, collector=collector, events=events)
        self.committer = ImageCommitter(writer=writer, blobs=blobs, collector=collector, pins=pins, events=events)
        self.jobs = Jobs()
        self.remover = ImageRemover(
            catalog=catalog, users=self.users, events=events, collector=collector, background=self.jobs
        )
        self.pruner = ImagePruner(catalog=catalog, snapshots=snapshots, remover=self.remover, events=events)
        self.tagger = ImageTagger(catalog=catalog, events=events)
        manifests = ManifestSummaries(catalog=catalog, blobs=blobs, users=self.users)
        self.lister = ImageLister(catalog=catalog, users=self.users, manifests=manifests)
        self.inspector = ImageInspector(catalog=catalog, snapshots=snapshots, manifests=manifests)
        self.attestations = Attestations(catalog=catalog, blobs=blobs)
        self.historian = ImageHistorian(catalog=catalog)

    async def pull(
        self, name: str, *, platform: Platform | None = None, credentials: Credentials = ANONYMOUS
    ) -> list[ProgressMessage]:
        """Pull, and return the messages."""
        messages: list[ProgressMessage] = []
        reference = parse_reference(name).with_default_tag()
        await self.puller.pull(reference, report=messages.append, platform=platform, credentials=credentials)
        return messages

    async def load(
        self, archive: bytes, *, quiet: bool = True, piece: int = 1 << 16, platforms: Sequence[Platform] = ()
    ) -> list[str]:
        """Load an archive, and return the lines of its answer."""
        messages: list[ProgressMessage] = []
        await self.loader.load(in_pieces(archive, piece), report=messages.append, quiet=quiet, platforms=platforms)
        return [message.stream for message in messages if message.stream]

    async def save(self, *names: str, platforms: Sequence[Platform] = ()) -> bytes:
        async with self.saver.save(names, platforms=platforms) as pieces:
            return b"".join([piece async for piece in pieces])

    async def import_(self, archive: bytes, name: str | None = None, *, changes: Sequence[str] = ()) -> Image:
        return await self.importer.import_archive(
            in_pieces(archive), message="Imported from -", changes=changes, name=parse_reference(name) if name else None
        )


async def in_pieces(data: bytes, piece: int = 1 << 16) -> AsyncIterator[bytes]:
    for at in range(0, len(data), piece):
        yield data[at : at + piece]


@contextlib.asynccontextmanager
async def open_engine(root: Path, settings: RegistrySettings | None = None) -> AsyncIterator[Engine]:
    """Open the stores below a directory; the directory may be opened again afterwards."""
    database = Database.open(root / "moorage.db", migrations=MIGRATIONS)
    engine = Engine(
        database=database,
        blobs=BlobStore.open(root / "content"),
        snapshots=await SnapshotStore.open(root, workers=DirectWorkers()),
        settings=settings or RegistrySettings(retry_delay=0, attempts=3),
    )
    try:
        await engine.catalog.load()
        yield engine
    finally:
        await engine.snapshots.removals.finish()
        await engine.registries.close()
        await database.close()


def tree(engine: Engine, image: Image) -> dict[str, bytes]:
    """The regular files of an image's snapshots, upper layers winning."""
    files: dict[str, bytes] = {}
    if image.chain_id is None:
        return files
    for directory in reversed(engine.snapshots.lower_dirs(image.chain_id)):
        for parent, _, names in os.walk(directory):
            for name in names:
                path = Path(parent) / name
                if path.is_file():
                    files[str(path.relative_to(directory))] = path.read_bytes()
    return files
