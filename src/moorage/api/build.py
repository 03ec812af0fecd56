"""Builds and the build cache.

Spec: Engine API, POST /build and POST /build/prune.
"""

from typing import Annotated

from msgspec import field

from moorage.api.filters import Accepts, Filters
from moorage.api.query import Query
from moorage.api.wire import Model, always


class BuildQuery(Query):
    """Parameters of POST /build; several are JSON inside the query string."""

    dockerfile: str = ""
    t: list[str] = field(default_factory=list)
    extrahosts: list[str] = field(default_factory=list)
    remote: str = ""
    q: bool = False
    nocache: bool = False
    cachefrom: str = ""
    pull: bool = False
    rm: bool = True
    forcerm: bool = False
    memory: int = 0
    memswap: int = 0
    cpushares: int = 0
    cpusetcpus: str = ""
    cpusetmems: str = ""
    cpuperiod: int = 0
    cpuquota: int = 0
    cgroupparent: str = ""
    buildargs: str = ""
    shmsize: int = 0
    squash: bool = False
    labels: str = ""
    networkmode: str = ""
    platform: str = ""
    target: str = ""
    outputs: str = ""
    version: str = "1"
    ulimits: str = ""
    isolation: str = ""
    securityopt: list[str] = field(default_factory=list)
    session: str = ""
    buildid: str = ""


class BuildPruneQuery(Query):
    """Parameters of POST /build/prune; sizes are bytes."""

    reserved_space: int = field(default=0, name="reserved-space")
    max_used_space: int = field(default=0, name="max-used-space")
    min_free_space: int = field(default=0, name="min-free-space")
    keep_storage: int = field(default=0, name="keep-storage")
    all: bool = False
    filters: Annotated[
        Filters,
        # Records have no labels; `docker system prune` hands its filter to every kind of object.
        Accepts(
            "until",
            "unused-for",
            "id",
            "parent",
            "type",
            "description",
            "inuse",
            "shared",
            "private",
            "label",
            "label!",
        ),
    ] = Filters()


class BuildPruneResponse(Model):
    """Cache records removed, and bytes freed."""

    caches_deleted: list[str] | None = always(default=None)
    space_reclaimed: int = always(default=0)


class BuildCancelQuery(Query):
    """Parameters of POST /build/cancel."""

    id: str = ""


class BuildCacheRecord(Model):
    """One record of the build cache."""

    id: str = field(name="ID")
    parents: list[str] = field(default_factory=list)
    type: str = always(default="")
    description: str = always(default="")
    in_use: bool = always(default=False)
    shared: bool = always(default=False)
    size: int = always(default=0)
    created_at: str = always(default="")
    last_used_at: str | None = always(default=None)
    usage_count: int = always(default=0)
