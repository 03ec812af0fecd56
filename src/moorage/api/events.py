"""Events.

Spec: Engine API, GET /events and definition "EventMessage".
"""

from msgspec import field

from moorage.api.filters import Filters
from moorage.api.query import Query
from moorage.api.wire import Model, always


class EventsQuery(Query):
    """Parameters of GET /events; times as `moorage.api.timestamps` reads them.

    Unlike elsewhere a filter that nobody knows is no error: Docker takes no notice of it.
    """

    since: str = ""
    until: str = ""
    filters: Filters = Filters()


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
