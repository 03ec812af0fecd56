"""Volumes.

Spec: Engine API, tag "Volume".
"""

from typing import Annotated

from msgspec import field

from moorage.api.filters import Accepts, Filters
from moorage.api.query import Query
from moorage.api.wire import JSON, Model, always


class VolumeUsage(Model):
    """How much a volume holds and how many containers refer to it; -1 when not computed."""

    ref_count: int = always(default=-1)
    size: int = always(default=-1)


class Volume(Model):
    """A volume as list, inspect and create show it."""

    cluster_volume: dict[str, JSON] | None = None
    created_at: str = ""
    driver: str = always(default="")
    labels: dict[str, str] | None = always(default=None)
    mountpoint: str = always(default="")
    name: str = always(default="")
    options: dict[str, str] | None = always(default=None)
    scope: str = always(default="")
    status: dict[str, JSON] = field(default_factory=dict)
    usage_data: VolumeUsage | None = None


class VolumeCreateRequest(Model):
    """A volume to be made; an empty name asks for an anonymous one."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    cluster_volume_spec: dict[str, JSON] | None = None


class VolumeListQuery(Query):
    """Parameters of GET /volumes."""

    filters: Annotated[Filters, Accepts("dangling", "driver", "label", "name")] = Filters()


class VolumeListResponse(Model):
    """The volumes, and what went wrong while asking drivers for them."""

    volumes: list[Volume] | None = always(default=None)
    warnings: list[str] | None = always(default=None)


class VolumeDeleteQuery(Query):
    """Parameters of DELETE /volumes/{name}."""

    force: bool = False


class VolumePruneQuery(Query):
    """Parameters of POST /volumes/prune."""

    filters: Annotated[Filters, Accepts("all", "label", "label!")] = Filters()


class VolumePruneResponse(Model):
    """Names of the volumes removed, and bytes freed."""

    volumes_deleted: list[str] | None = always(default=None)
    space_reclaimed: int = always(default=0)
