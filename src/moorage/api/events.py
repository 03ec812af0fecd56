"""Events.

Spec: Engine API, GET /events and definition "EventMessage".
"""

from typing import Annotated

from msgspec import field

from moorage.api.filters import Accepts, Filters
from moorage.api.query import Query
from moorage.api.wire import Model, always


class EventsQuery(Query):
    """Parameters of GET /events; times as `moorage.api.timestamps` reads them."""

    since: str = ""
    until: str = ""
    filters: Annotated[
        Filters,
        Accepts(
            "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin",
            "scope", "secret", "service", "type", "volume",
        ),
    ] = Filters()  # fmt: skip


class EventActor(Model):
    """The object an event is about."""

    id: str = always(default="", name="ID")
    attributes: dict[str, str] = always(default={})


class EventMessage(Model):
    """Something that happened; `status`, `id` and `from` repeat it for API versions before 1.52."""

    status: str = field(default="", name="status")
    id: str = field(default="", name="id")
    from_: str = field(default="", name="from")
    type: str = always(default="")
    action: str = always(default="")
    actor: EventActor = always(default=EventActor())
    scope: str = field(default="", name="scope")
    time: int = field(default=0, name="time")
    time_nano: int = field(default=0, name="timeNano")
