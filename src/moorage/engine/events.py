"""The event bus: what happened, to whoever listens.

Publishing is synchronous, never blocks and never fails, because it happens after the
change was committed: an event tells of the past. The last 256 events are kept, so that
a client which connects a moment late can ask for them, and so are those of earlier daemons.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self

HISTORY: Final = 256
"""How many past events a subscriber can still get; Docker's number."""

_BACKLOG: Final = 4096
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to one object.

    Attributes:
        kind: The API's `Type`: container, image, network, volume, daemon.
        actor_id: The full ID of the object, or its name where it has no ID.
        time_ns: Nanoseconds since the epoch.
    """

    kind: str
    action: str
    actor_id: str
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    time_ns: int


class Subscription:
    """A stream of events for one listener; iterate it, and close it."""

    def __init__(self, bus: "EventBus", backlog: list[Event], *, live: bool) -> None:
        self._bus = bus
        self._pending = deque(backlog)
        self._wakeup: asyncio.Event = asyncio.Event()
        self._live = live

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop receiving; the iteration ends after what was already received."""
        self._live = False
        self._wakeup.set()
        self._bus.forget(self)

    def deliver(self, event: Event) -> None:
        """Queue one event; a listener too slow to read is cut off rather than kept in memory."""
        if len(self._pending) >= _BACKLOG:
            self.close()
            return
        self._pending.append(event)
        self._wakeup.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._pending:
                yield self._pending.popleft()
            if not self._live:
                return
            self._wakeup.clear()
            await self._wakeup.wait()


class EventBus:
    """The engine's events, in the order in which they were published."""

    def __init__(self, *, past: Iterable[Event] = (), note: Callable[[Event], None] | None = None) -> None:
        """Begin.

        Args:
            past: What happened before this daemon started, in its order.
            note: Keeps an event for the next daemon; returns at once.
        """
        self._history: deque[Event] = deque(past, maxlen=HISTORY)
        self._note = note
        self._subscriptions: set[Subscription] = set()
        #: How many events there were since the daemon started.
        self.published = 0

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] = _NOTHING) -> None:
        """Record an event and hand it to every listener."""
        event = Event(kind=kind, action=action, actor_id=actor_id, attributes=attributes, time_ns=time.time_ns())
        self.published += 1
        self._history.append(event)
        if self._note is not None:
            self._note(event)
        for subscription in tuple(self._subscriptions):
            subscription.deliver(event)

    def subscribe(self, *, since_ns: int | None = None, live: bool = True) -> Subscription:
        """Start listening; past events come first, without a gap before the live ones.

        Args:
            since_ns: Also deliver the remembered events from this time on. None delivers
                none of them.
            live: False delivers only the past and then ends.
        """
        # The copy of the history and the registration are one step of the loop, so no
        # event can fall between the two.
        backlog = [] if since_ns is None else [event for event in self._history if event.time_ns >= since_ns]
        subscription = Subscription(self, backlog, live=live)
        if live:
            self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Drop a closed subscription."""
        self._subscriptions.discard(subscription)

    @property
    def listeners(self) -> int:
        """How many subscriptions are open; `/info` shows it."""
        return len(self._subscriptions)
