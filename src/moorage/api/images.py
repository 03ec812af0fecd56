"""Images.

Spec: Engine API, tag "Image".
"""

from typing import Annotated

from msgspec import Raw, field

from moorage.api.container_state import DriverData
from moorage.api.containers import HealthConfig
from moorage.api.descriptors import OCIDescriptor, OCIPlatform
from moorage.api.filters import Accepts, Filters
from moorage.api.query import Query
from moorage.api.wire import JSON, Model, StringSlice, always


class ImageConfig(Model):
    """What an image says about the containers made from it (the shape since API 1.52)."""

    user: str = ""
    exposed_ports: dict[str, dict[str, JSON]] = field(default_factory=dict)
    env: list[str] = field(default_factory=list)
    entrypoint: StringSlice = field(default_factory=list)
    cmd: StringSlice = field(default_factory=list)
    volumes: dict[str, dict[str, JSON]] = field(default_factory=dict)
    working_dir: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: HealthConfig | None = None
    on_build: list[str] = field(default_factory=list)
    shell: StringSlice = field(default_factory=list)


class EagerImageConfig(ImageConfig):
    """The same with its empty fields written, as API 1.50 and 1.51 show it."""

    user: str = always(default="")
    env: list[str] | None = always(default=None)  # type: ignore[assignment]
    entrypoint: StringSlice | None = always(default=None)  # type: ignore[assignment]  # null is what clients expect
    cmd: StringSlice | None = always(default=None)  # type: ignore[assignment]
    volumes: dict[str, dict[str, JSON]] | None = always(default=None)  # type: ignore[assignment]
    working_dir: str = always(default="")
    on_build: list[str] | None = always(default=None)  # type: ignore[assignment]
    labels: dict[str, str] | None = always(default=None)  # type: ignore[assignment]


class LegacyImageConfig(EagerImageConfig):
    """The same with the fields of a container's configuration that images never had, as before API 1.50."""

    hostname: str = always(default="")
    domainname: str = always(default="")
    attach_stdin: bool = always(default=False)
    attach_stdout: bool = always(default=False)
    attach_stderr: bool = always(default=False)
    tty: bool = always(default=False)
    open_stdin: bool = always(default=False)
    stdin_once: bool = always(default=False)
    image: str = always(default="")


class RootFS(Model):
    """The diff IDs of an image's layers, bottom first."""

    type: str = always(default="layers")
    layers: list[str] = field(default_factory=list)


class ImageMetadata(Model):
    """What this host knows about an image beside its content."""

    last_tag_time: str = always(default="0001-01-01T00:00:00Z")


class ManifestSizes(Model):
    """Bytes of a manifest's content, and of all that belongs to it."""

    total: int = always(default=0)
    content: int = always(default=0)


class ManifestImageSize(Model):
    """Bytes on disk of one platform's unpacked layers."""

    unpacked: int = always(default=0)


class ManifestImageData(Model):
    """What a manifest says, when it is of kind image."""

    platform: OCIPlatform = always(default=OCIPlatform())
    size: ManifestImageSize = always(default=ManifestImageSize())
    containers: list[str] = always(default=[])


class ManifestAttestationData(Model):
    """The image that a manifest of kind attestation speaks about."""

    for_: str = always(default="", name="For")


class ImageManifestSummary(Model):
    """One manifest of an index; `kind` is image, attestation or unknown."""

    id: str = field(name="ID")
    descriptor: OCIDescriptor
    available: bool = always(default=False)
    size: ManifestSizes = always(default=ManifestSizes())
    kind: str = always(default="unknown")
    image_data: ManifestImageData | None = None
    attestation_data: ManifestAttestationData | None = None


class AttestationStatement(Model):
    """One in-toto statement about an image; `statement` is the JSON as it is, if it was asked for."""

    descriptor: OCIDescriptor
    predicate_type: str = always(default="")
    statement: Raw | None = None


class PullIdentity(Model):
    """The repository that an image was pulled from or pushed to."""

    repository: str = ""


class ImageIdentity(Model):
    """Where an image is known to come from."""

    pull: list[PullIdentity] = field(default_factory=list)


class ImageInspect(Model):
    """The whole record of an image; `config` is one of the three shapes above, by API version."""

    id: str
    repo_tags: list[str] = always(default=[])
    repo_digests: list[str] = always(default=[])
    parent: str = ""
    comment: str = ""
    created: str = ""
    docker_version: str = ""
    author: str = ""
    config: ImageConfig | None = always(default=None)
    architecture: str = always(default="")
    variant: str = ""
    os: str = always(default="")
    os_version: str = ""
    size: int = always(default=0)
    graph_driver: DriverData = always(default=DriverData())
    root_fs: RootFS = always(default=RootFS(), name="RootFS")
    metadata: ImageMetadata = always(default=ImageMetadata())
    descriptor: OCIDescriptor | None = None
    manifests: list[ImageManifestSummary] = field(default_factory=list)
    identity: ImageIdentity | None = None


class LegacyImageInspect(ImageInspect):
    """The same as API versions before 1.52 show it: empty fields too; the last three go with 1.44 and 1.45."""

    parent: str = always(default="")
    comment: str = always(default="")
    docker_version: str = always(default="")
    author: str = always(default="")
    virtual_size: int = 0
    container: str | None = None
    container_config: dict[str, JSON] | None = None


class ImageSummary(Model):
    """One image in a list; `shared_size` and `containers` are -1 when not computed."""

    id: str
    parent_id: str = always(default="")
    repo_tags: list[str] | None = always(default=[])
    repo_digests: list[str] | None = always(default=[])
    created: int = always(default=0)
    size: int = always(default=0)
    shared_size: int = always(default=-1)
    virtual_size: int = 0
    labels: dict[str, str] | None = always(default=None)
    containers: int = always(default=-1)
    manifests: list[ImageManifestSummary] = field(default_factory=list)
    descriptor: OCIDescriptor | None = None


class ImageHistoryItem(Model):
    """One step of an image's history; `id` is <missing> for steps without an image of their own."""

    id: str = always(default="<missing>")
    created: int = always(default=0)
    created_by: str = always(default="")
    tags: list[str] | None = always(default=None)
    size: int = always(default=0)
    comment: str = always(default="")


class ImageDeleteItem(Model):
    """One effect of a removal: either field is set."""

    untagged: str = ""
    deleted: str = ""


class ImagePruneResponse(Model):
    """What was removed, and bytes freed."""

    images_deleted: list[ImageDeleteItem] | None = always(default=None)
    space_reclaimed: int = always(default=0)


class ImageSearchResult(Model, rename=None):
    """One repository that a search found."""

    star_count: int = always(default=0)
    is_official: bool = always(default=False)
    name: str = always(default="")
    is_automated: bool = always(default=False)
    description: str = always(default="")


class DistributionInspect(Model):
    """What a registry says about a reference."""

    descriptor: OCIDescriptor
    platforms: list[OCIPlatform] = always(default=[])


class ImageListQuery(Query):
    """Parameters of GET /images/json; `filter` is read before API 1.41."""

    all: bool = False
    filter: str = ""
    filters: Annotated[
        Filters, Accepts("before", "dangling", "label", "label!", "reference", "since", "until")
    ] = Filters()  # fmt: skip
    shared_size: bool = field(default=False, name="shared-size")
    digests: bool = False
    manifests: bool = False
    identity: bool = False


class ImageCreateQuery(Query):
    """Parameters of POST /images/create: a pull with `from_image`, else an import with `from_src`."""

    from_image: str = field(default="", name="fromImage")
    from_src: str = field(default="", name="fromSrc")
    repo: str = ""
    tag: str = ""
    message: str = ""
    changes: list[str] = field(default_factory=list)
    platform: str = ""


class ImageInspectQuery(Query):
    """Parameters of GET /images/{name}/json; `platform` is a JSON object."""

    manifests: bool = False
    platform: str = ""


class ImageHistoryQuery(Query):
    """Parameters of GET /images/{name}/history; `platform` is a JSON object."""

    platform: str = ""


class ImagePushQuery(Query):
    """Parameters of POST /images/{name}/push; `platform` is a JSON object."""

    tag: str = ""
    platform: str = ""


class ImageTagQuery(Query):
    """Parameters of POST /images/{name}/tag."""

    repo: str = ""
    tag: str = ""


class ImageDeleteQuery(Query):
    """Parameters of DELETE /images/{name}; `platforms` are JSON objects."""

    force: bool = False
    noprune: bool = False
    platforms: list[str] = field(default_factory=list)


class ImageSearchQuery(Query):
    """Parameters of GET /images/search."""

    term: str = ""
    limit: int = 0
    filters: Annotated[Filters, Accepts("is-automated", "is-official", "stars")] = Filters()


class ImagePruneQuery(Query):
    """Parameters of POST /images/prune."""

    filters: Annotated[Filters, Accepts("dangling", "label", "label!", "until")] = Filters()


class ImageCommitQuery(Query):
    """Parameters of POST /commit."""

    container: str | None = None
    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: list[str] = field(default_factory=list)


class ImageSaveQuery(Query):
    """Parameters of GET /images/get and /images/{name}/get; `platform` are JSON objects."""

    names: list[str] = field(default_factory=list)
    platform: list[str] = field(default_factory=list)


class ImageLoadQuery(Query):
    """Parameters of POST /images/load; `platform` are JSON objects."""

    quiet: bool = True
    platform: list[str] = field(default_factory=list)


class ImageAttestationsQuery(Query):
    """Parameters of GET /images/{name}/attestations."""

    platform: list[str] = field(default_factory=list)
    type: list[str] = field(default_factory=list)
    statement: bool = False
