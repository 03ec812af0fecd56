"""The events a client follows: from the remembered ones to a given end, as the API shows them.

Spec: Engine API, GET /events.
"""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator

from moorage.api.events import EventActor, EventMessage
from moorage.api.filters import Filters
from moorage.api.timestamps import SECOND, MalformedTimeError, read_time
from moorage.api.versions import Version
from moorage.engine.event_filters import wants
from moorage.engine.events import Event, EventBus, Subscription
from moorage.errors import InvalidParameterError

#: Before it, what an event is about was repeated in fields that Docker once had instead of the actor.
_WITHOUT_LEGACY = Version(1, 52)
_IMAGE_CREATION = Version(1, 46)


class BackwardsError(InvalidParameterError):
    """The end lies before the beginning."""

    def __init__(self, since: str, until: str) -> None:
        super().__init__(f"`since` time ({since}) cannot be after `until` time ({until})")


class InvalidLimitError(InvalidParameterError):
    """One of the ends is no time."""

    def __init__(self, name: str, text: str) -> None:
        whole = text.partition(".")[0]
        super().__init__(
            f'invalid value for \'{name}\': invalid timestamp "{text}": invalid seconds "{whole}": invalid syntax'
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventStreamer:
    """Lets clients follow the engine's events."""

    bus: EventBus

    def follow(self, *, since: str, until: str, filters: Filters, version: Version) -> AsyncIterator[EventMessage]:
        """Subscribe now, and return the events as they come; without `until` they never end.

        Raises:
            InvalidLimitError: One of the times is none.
            BackwardsError: `until` is before `since`.
        """
        now = time.time_ns()
        start = _read("since", since, now=now)
        end = _read("until", until, now=now)
        if end is not None:
            start = start or 0
            if end < start:
                raise BackwardsError(since, until)
        subscription = self.bus.subscribe(since_ns=start, live=end is None or end > now)
        return _messages(subscription, filters, version, end)


def _read(name: str, text: str, *, now: int) -> int | None:
    if not text:
        return None
    try:
        return read_time(text, now=now)
    except MalformedTimeError:
        raise InvalidLimitError(name, text) from None


async def _messages(
    subscription: Subscription, filters: Filters, version: Version, end: int | None
) -> AsyncIterator[EventMessage]:
    with subscription:
        if end is not None:
            delay = max(0.0, (end - time.time_ns()) / SECOND)
            timer = asyncio.get_running_loop().call_later(delay, subscription.close)
        else:
            timer = None
        try:
            async for event in subscription:
                if end is not None and event.time_ns > end:
                    break
                if wants(filters, event) and _is_known(event, version):
                    yield message(event, version=version)
        finally:
            if timer is not None:
                timer.cancel()


def _is_known(event: Event, version: Version) -> bool:
    return version >= _IMAGE_CREATION or (event.kind, event.action) != ("image", "create")


def message(event: Event, *, version: Version) -> EventMessage:
    """Return an event as the API of a version shows it."""
    legacy = version < _WITHOUT_LEGACY and event.kind in {"container", "image"}
    return EventMessage(
        status=event.action if legacy else "",
        id=event.actor_id if legacy else "",
        from_=event.attributes.get("image", "") if legacy and event.kind == "container" else "",
        type=event.kind,
        action=event.action,
        actor=EventActor(id=event.actor_id, attributes=dict(event.attributes)),
        scope="local",
        time=event.time_ns // SECOND,
        time_nano=event.time_ns,
    )
