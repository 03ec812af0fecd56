"""Places for transfers."""

import asyncio

from moorage.images.slots import Slots


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_only_so_many_are_at_work_and_the_number_can_change() -> None:
    slots, at_work, go = Slots(1), 0, asyncio.Event()

    async def work() -> None:
        nonlocal at_work
        async with slots:
            at_work += 1
            await go.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(work())
        await settle()
        assert (at_work, slots.locked()) == (1, True)
        slots.resize(3)
        await settle()
        assert at_work == 3
        go.set()
    assert at_work == 4
    assert not slots.locked()


async def test_one_that_gives_up_waiting_loses_no_place() -> None:
    slots = Slots(1)
    await slots.__aenter__()

    async def work() -> None:
        async with slots:
            pass

    first, second = asyncio.create_task(work()), asyncio.create_task(work())
    await settle()
    await slots.__aexit__(None, None, None)
    first.cancel()
    await asyncio.wait({first, second}, timeout=5)
    assert second.done()
    assert not slots.locked()
