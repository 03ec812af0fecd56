"""Following events from the past into the future."""

import time

import pytest

from moorage.api.events import EventMessage
from moorage.api.filters import Filters
from moorage.api.timestamps import SECOND
from moorage.api.versions import MAXIMUM, Version
from moorage.engine.event_stream import BackwardsError, EventStreamer, InvalidLimitError, message
from moorage.engine.events import Event, EventBus


async def actions(bus: EventBus, *, since: str = "", until: str, filters: Filters | None = None) -> list[str]:
    streamer = EventStreamer(bus=bus)
    stream = streamer.follow(since=since, until=until, filters=filters or Filters(), version=MAXIMUM)
    return [item.action async for item in stream]


async def test_past_events_are_replayed_up_to_the_end() -> None:
    bus = EventBus()
    bus.publish("container", "create", "a")
    bus.publish("image", "pull", "b")
    assert await actions(bus, until="0s") == ["create", "pull"]
    assert await actions(bus, since="1h", until="0s", filters=Filters({"type": ("image",)})) == ["pull"]
    assert await actions(bus, until="1h") == []
    assert bus.listeners == 0


async def test_stream_ends_when_its_end_comes() -> None:
    bus = EventBus()
    bus.publish("container", "old", "a")
    end = (time.time_ns() + SECOND // 20) / SECOND
    streamer = EventStreamer(bus=bus)
    stream = streamer.follow(since="", until=f"{end:.9f}", filters=Filters(), version=MAXIMUM)
    bus.publish("container", "new", "a")
    assert [item.action async for item in stream] == ["old", "new"]
    assert bus.listeners == 0


async def test_without_times_only_the_future_counts() -> None:
    bus = EventBus()
    bus.publish("container", "old", "a")
    stream = EventStreamer(bus=bus).follow(since="", until="", filters=Filters(), version=MAXIMUM)
    bus.publish("container", "new", "a")
    first = await anext(aiter(stream))
    assert first.action == "new"
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert bus.listeners == 0


async def test_end_before_beginning_is_refused() -> None:
    with pytest.raises(BackwardsError, match=r"^`since` time \(10\) cannot be after `until` time \(5\)$"):
        await actions(EventBus(), since="10", until="5")


async def test_what_is_no_time_is_named() -> None:
    with pytest.raises(InvalidLimitError) as caught:
        await actions(EventBus(), since="then", until="")
    assert str(caught.value) == (
        'invalid value for \'since\': invalid timestamp "then": invalid seconds "then": invalid syntax'
    )


DIE = Event(kind="container", action="die", actor_id="a", attributes={"image": "web"}, time_ns=3 * SECOND + 1)


def test_old_versions_repeat_what_the_event_is_about() -> None:
    shown = message(DIE, version=Version(1, 50))
    assert (shown.status, shown.id, shown.from_) == ("die", "a", "web")
    assert (shown.time, shown.time_nano, shown.scope) == (3, 3 * SECOND + 1, "local")


def test_versions_since_1_52_do_not() -> None:
    shown: EventMessage = message(DIE, version=Version(1, 52))
    assert (shown.status, shown.id, shown.from_) == ("", "", "")
