"""Records are found as Docker finds them, and changes are durable in their order."""

import asyncio

import pytest

from moorage.engine.containers.errors import AmbiguousPrefixError, ContainerNotFoundError
from moorage.state.containers import NameTakenError
from tests.unit.engine.fakes import ID, FakeEngine, changed, record

OTHER = "ab" + "c" * 62


async def test_full_id_then_name_then_prefix(engine: FakeEngine) -> None:
    await engine.add(record())
    # A name that looks like the beginning of another container's ID wins over it.
    await engine.add(record(OTHER, name="aaaa"))
    assert engine.registry.resolve(ID).name == "web"
    assert engine.registry.resolve("aaaa").id == OTHER
    assert engine.registry.resolve("/web").id == ID
    assert engine.registry.resolve("abc").id == OTHER


@pytest.mark.parametrize("reference", ["", "nobody", "b"])
async def test_missing_ones_are_named(engine: FakeEngine, reference: str) -> None:
    await engine.add(record())
    with pytest.raises(ContainerNotFoundError, match=f"^No such container: {reference}$"):
        engine.registry.resolve(reference)


async def test_an_ambiguous_prefix_is_refused(engine: FakeEngine) -> None:
    await engine.add(record())
    await engine.add(record(OTHER, name="other"))
    with pytest.raises(AmbiguousPrefixError, match="multiple IDs found with provided prefix: a"):
        engine.registry.resolve("a")


async def test_a_reserved_name_is_taken_before_the_row_is_there(engine: FakeEngine) -> None:
    engine.registry.reserve_name("web", ID)
    with pytest.raises(NameTakenError, match=f'"/web" is already in use by container "{ID}"'):
        engine.registry.reserve_name("web", OTHER)
    engine.registry.release_name("web", ID)
    engine.registry.reserve_name("web", OTHER)


async def test_changes_of_one_record_do_not_undo_each_other(engine: FakeEngine) -> None:
    await engine.add(record())
    await asyncio.gather(
        engine.registry.change_state(ID, manually_stopped=True), engine.registry.change_state(ID, restart_count=3)
    )
    state = engine.stored()[ID].state
    assert (state.manually_stopped, state.restart_count) == (True, 3)


async def test_everything_survives_a_restart(engine: FakeEngine) -> None:
    full = record(config={"labels": {"a": "b"}, "env": ["X=1"]}, host={"binds": ["/a:/b"], "memory": 5})
    await engine.add(full)
    assert engine.stored()[ID] == full


async def test_states_are_counted(engine: FakeEngine) -> None:
    await engine.add(changed(record(), running=True))
    await engine.add(changed(record(OTHER, name="two"), running=True, paused=True))
    await engine.add(record("c" * 64, name="three"))
    counts = engine.registry.counts()
    assert (counts.running, counts.paused, counts.stopped) == (1, 1, 1)
