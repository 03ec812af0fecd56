"""Progress messages, single flights, and the stream of messages to a client."""

import asyncio

import pytest

from moorage.api.progress import ProgressMessage
from moorage.images.feeds import feed
from moorage.images.flights import Flights
from moorage.images.progress import Meter, Report, bar, human_size, status, step


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1234, "1.234kB"), (43_210_987, "43.21MB"), (10**12, "1TB")],
)
def test_sizes_are_printed_as_docker_prints_them(size: int, text: str) -> None:
    assert human_size(size) == text


def test_bar_is_drawn_as_docker_draws_it() -> None:
    assert bar("x", "Downloading", current=500, total=1000).progress == f"[{'=' * 25}>{' ' * 25}]     500B/1kB"
    assert bar("x", "Downloading", current=1000, total=1000).progress == f"[{'=' * 50}>]      1kB/1kB"
    assert bar("x", "Importing", current=5000, total=0).progress == "     5kB"
    assert bar("x", "Downloading", current=2000, total=1000).progress == f"[{'=' * 50}>]      2kB"
    assert bar("x", "Downloading", current=0, total=0).progress == ""


def test_meter_speaks_rarely_but_at_the_end() -> None:
    messages: list[ProgressMessage] = []
    meter = Meter(messages.append, id="x", text="Downloading", total=1000)
    for _ in range(1000):
        meter.add(1)
    assert len(messages) < 20
    assert messages[-1].progress_detail is not None
    assert messages[-1].progress_detail.current == 1000


async def test_flight_is_shared_and_late_listeners_catch_up() -> None:
    flights: Flights[str, int] = Flights()
    landed = asyncio.Event()
    starts = 0

    async def fly(report: Report) -> int:
        nonlocal starts
        starts += 1
        report(status("begin"))
        report(step("layer", "Waiting"))
        report(step("layer", "Downloading"))
        await landed.wait()
        report(step("layer", "Done"))
        return 5

    early: list[str] = []
    late: list[str] = []
    first = asyncio.create_task(flights.join("key", fly, report=lambda message: early.append(message.status)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(flights.join("key", fly, report=lambda message: late.append(message.status)))
    await asyncio.sleep(0)
    landed.set()
    assert (await first, await second) == (5, 5)
    assert starts == 1
    assert early == ["begin", "Waiting", "Downloading", "Done"]
    assert late == ["begin", "Downloading", "Done"]


async def test_flight_goes_on_while_anybody_listens() -> None:
    flights: Flights[str, None] = Flights()
    landed, cancelled = asyncio.Event(), asyncio.Event()

    async def fly(_: Report) -> None:
        try:
            await landed.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    joined = [asyncio.create_task(flights.join("key", fly, report=lambda _: None)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    joined[0].cancel()
    await asyncio.wait({joined[0]})
    assert not cancelled.is_set()
    joined[1].cancel()
    await asyncio.wait({joined[1]})
    assert cancelled.is_set()


async def test_failure_reaches_everybody_and_the_next_one_starts_anew() -> None:
    flights: Flights[str, None] = Flights()

    async def crash(_: Report) -> None:
        raise OSError

    results = await asyncio.gather(
        *[flights.join("key", crash, report=lambda _: None) for _ in range(3)], return_exceptions=True
    )
    assert [type(result) for result in results] == [OSError] * 3

    async def land(_: Report) -> None:
        return

    await flights.join("key", land, report=lambda _: None)


async def test_feed_yields_what_work_reports() -> None:
    async def work(report: Report) -> None:
        report(status("one"))
        await asyncio.sleep(0)
        report(status("two"))

    assert [message.status async for message in feed(work)] == ["one", "two"]


async def test_feed_keeps_only_the_latest_bar_of_a_slow_client() -> None:
    async def work(report: Report) -> None:
        for current in range(1, 100):
            report(bar("x", "Downloading", current=current, total=100))
        report(step("x", "Done"))

    messages = [message async for message in feed(work)]
    assert [(message.status, message.progress_detail and message.progress_detail.current) for message in messages] == [
        ("Downloading", 99),
        ("Done", 0),
    ]


async def test_feed_raises_what_work_raises_after_its_messages() -> None:
    async def work(report: Report) -> None:
        report(status("one"))
        raise KeyError

    messages = feed(work)
    assert (await anext(messages)).status == "one"
    with pytest.raises(KeyError):
        await anext(messages)


async def test_feed_stops_work_when_nobody_listens() -> None:
    stopped = asyncio.Event()

    async def work(report: Report) -> None:
        report(status("one"))
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    messages = feed(work)
    await anext(messages)
    await messages.aclose()  # type: ignore[attr-defined]
    assert stopped.is_set()
