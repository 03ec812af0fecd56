"""All services of images, put together over their stores."""

from dataclasses import dataclass
from typing import Self

from moorage.background import Background
from moorage.content.store import BlobStore
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
from moorage.images.ports import EventPublisher, ImageTable, ImageUsers
from moorage.images.pruning import ImagePruner
from moorage.images.pulling import ImagePuller
from moorage.images.pushing import ImagePusher
from moorage.images.remote import RemoteInspector
from moorage.images.removing import ImageRemover
from moorage.images.saving import ImageSaver
from moorage.images.searching import ImageSearcher
from moorage.images.slots import Slots
from moorage.images.tagging import ImageTagger
from moorage.images.writing import ImageWriter
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.gateway import RegistryGateway
from moorage.signatures.gate import SignatureGate
from moorage.signatures.settings import SignatureSettings
from moorage.snapshots.store import SnapshotStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The services; `open` reads what is on disk, `close` ends connections to registries.

    Attributes:
        pins: Holds snapshots for work under way, such as the creation of a container.
    """

    attestations: Attestations
    catalog: ImageCatalog
    collector: ImageCollector
    committer: ImageCommitter
    historian: ImageHistorian
    importer: ImageImporter
    inspector: ImageInspector
    lister: ImageLister
    loader: ImageLoader
    pins: ChainPins
    pruner: ImagePruner
    puller: ImagePuller
    pusher: ImagePusher
    registries: RegistryGateway
    remote: RemoteInspector
    remover: ImageRemover
    saver: ImageSaver
    searcher: ImageSearcher
    signatures: SignatureGate
    tagger: ImageTagger
    download_slots: Slots
    upload_slots: Slots

    @classmethod
    def assemble(  # noqa: PLR0913 - the one place that takes everything images stand on
        cls,
        *,
        table: ImageTable,
        blobs: BlobStore,
        snapshots: SnapshotStore,
        users: ImageUsers,
        events: EventPublisher,
        registries: RegistrySettings,
        signatures: SignatureSettings,
        background: Background,
        downloads: int = 3,
        uploads: int = 5,
    ) -> Self:
        """Make the services.

        Args:
            downloads: Layers that are fetched at the same time.
            uploads: Layers that are pushed at the same time.
        """
        gateway = RegistryGateway(settings=registries)
        gate = SignatureGate(signatures)
        download_slots, upload_slots = Slots(downloads), Slots(uploads)
        pins = ChainPins()
        catalog = ImageCatalog(table=table, blobs=blobs, snapshots=snapshots)
        collector = ImageCollector(catalog=catalog, blobs=blobs, snapshots=snapshots, users=users, pins=pins)
        remover = ImageRemover(catalog=catalog, users=users, events=events, collector=collector, background=background)
        manifests = ManifestSummaries(catalog=catalog, blobs=blobs, users=users)
        writer = ImageWriter(catalog=catalog, blobs=blobs, snapshots=snapshots)
        importer = ImageImporter(writer=writer, blobs=blobs, collector=collector, pins=pins, events=events)
        return cls(
            attestations=Attestations(catalog=catalog, blobs=blobs),
            catalog=catalog,
            collector=collector,
            committer=ImageCommitter(writer=writer, blobs=blobs, collector=collector, pins=pins, events=events),
            historian=ImageHistorian(catalog=catalog),
            importer=importer,
            inspector=ImageInspector(catalog=catalog, snapshots=snapshots, manifests=manifests),
            lister=ImageLister(catalog=catalog, users=users, manifests=manifests),
            loader=ImageLoader(
                catalog=catalog,
                blobs=blobs,
                snapshots=snapshots,
                collector=collector,
                pins=pins,
                events=events,
                importer=importer,
            ),
            pins=pins,
            pruner=ImagePruner(catalog=catalog, snapshots=snapshots, remover=remover, events=events),
            puller=ImagePuller(
                catalog=catalog,
                blobs=blobs,
                snapshots=snapshots,
                layers=LayerFetcher(blobs=blobs, snapshots=snapshots, slots=download_slots),
                registries=gateway,
                events=events,
                pins=pins,
                signatures=gate,
            ),
            pusher=ImagePusher(
                catalog=catalog,
                blobs=blobs,
                compressor=LayerCompressor(catalog=catalog, blobs=blobs),
                collector=collector,
                registries=gateway,
                events=events,
                signatures=gate,
                slots=upload_slots,
            ),
            registries=gateway,
            remote=RemoteInspector(registries=gateway),
            remover=remover,
            saver=ImageSaver(catalog=catalog, blobs=blobs, collector=collector, events=events),
            searcher=ImageSearcher(registries=gateway),
            signatures=gate,
            tagger=ImageTagger(catalog=catalog, events=events),
            download_slots=download_slots,
            upload_slots=upload_slots,
        )

    def reconfigure(
        self, registries: RegistrySettings, *, signatures: SignatureSettings, downloads: int, uploads: int
    ) -> None:
        """Take over settings that changed; transfers under way are not disturbed."""
        self.signatures.reconfigure(signatures)
        self.registries.reconfigure(registries)
        self.download_slots.resize(downloads)
        self.upload_slots.resize(uploads)

    async def open(self) -> None:
        """Read the images that are here, and remove what a crash left of others."""
        await self.catalog.load()
        await self.collector.collect()

    async def close(self) -> None:
        """End the connections to registries."""
        await self.registries.close()
