"""Names that one container has for another."""

import dataclasses

import pytest

from moorage.api.host_config import HostConfig
from moorage.engine.bundles.modes import HostNetworkLinkError
from moorage.engine.containers.errors import ContainerNotFoundError, RequestFailedError
from moorage.engine.containers.links import bound_links, linked_names, shown_links
from moorage.engine.containers.records import ContainerRecord, ContainerState
from moorage.engine.containers.unlinking import LinkRemover
from tests.unit.engine.fakes import FakeEngine, record


@pytest.fixture
async def linked(engine: FakeEngine) -> ContainerRecord:
    up = ContainerState(running=True, started_at_ns=1)
    await engine.add(record("a" * 64, "db", state=up))
    host = {"links": ["db:data", "/db:/web/other"]}
    return await engine.add(record("b" * 64, "web", state=up, host=host))


def remover(engine: FakeEngine) -> LinkRemover:
    return LinkRemover(registry=engine.registry, locks=engine.locks, paths=engine.paths)


async def test_a_link_is_one_more_name_of_what_it_leads_to(engine: FakeEngine, linked: ContainerRecord) -> None:
    assert engine.registry.resolve("/web/data").name == engine.registry.resolve("web/other").name == "db"
    names = linked_names(engine.registry.all(), engine.registry.resolve)
    assert names == {"db": ["/web/data", "/web/other"]}
    assert shown_links(linked, engine.registry.resolve) == ["/db:/web/data", "/db:/web/other"]


async def test_a_link_follows_its_target_through_renames(engine: FakeEngine) -> None:
    target = await engine.add(record("a" * 64, "db"))
    bound = bound_links(HostConfig(network_mode="bridge", links=["db:data", "db"]), engine.registry.resolve)
    assert bound.links == [f"{target.id}:data", f"{target.id}:db"]
    linked = await engine.add(record("b" * 64, "web", host={"links": bound.links}))
    await engine.registry.save(dataclasses.replace(target, name="store"))
    assert shown_links(linked, engine.registry.resolve) == ["/store:/web/data", "/store:/web/db"]
    assert linked_names(engine.registry.all(), engine.registry.resolve) == {"store": ["/web/data", "/web/db"]}
    await engine.registry.remove(target.id)
    assert shown_links(linked, engine.registry.resolve) == ["/aaaaaaaaaaaa:/web/data", "/aaaaaaaaaaaa:/web/db"]


async def test_a_link_leads_to_who_has_the_network(engine: FakeEngine) -> None:
    target = await engine.add(record("a" * 64, "db"))
    await engine.add(record("b" * 64, "side", host={"network_mode": f"container:{target.id}"}))
    await engine.add(record("c" * 64, "beside", host={"network_mode": f"container:{'b' * 64}"}))
    await engine.add(record("d" * 64, "open", host={"network_mode": "host"}))
    bound = bound_links(HostConfig(network_mode="bridge", links=["beside:data"]), engine.registry.resolve)
    assert bound.links == [f"{target.id}:data"]
    with pytest.raises(HostNetworkLinkError, match="host type networking can't be used with links"):
        bound_links(HostConfig(network_mode="bridge", links=["open:data"]), engine.registry.resolve)


async def test_a_removed_link_is_gone_from_names_and_hosts(engine: FakeEngine, linked: ContainerRecord) -> None:
    hosts = engine.paths.directory(linked.id) / "hosts"
    hosts.write_text("127.0.0.1\tlocalhost\n172.17.0.2\tdata other db\n")
    await remover(engine).remove("/web/data")
    assert hosts.read_text() == "127.0.0.1\tlocalhost\n172.17.0.2\tother db\n"
    assert shown_links(engine.registry.resolve("web"), engine.registry.resolve) == ["/db:/web/other"]
    with pytest.raises(ContainerNotFoundError):
        engine.registry.resolve("web/data")


@pytest.mark.parametrize("name", ["web/none", "none/data", "none"])
async def test_a_link_that_is_not_there_cannot_be_removed(
    engine: FakeEngine, linked: ContainerRecord, name: str
) -> None:
    with pytest.raises(ContainerNotFoundError):
        await remover(engine).remove(name)


async def test_a_containers_own_name_is_no_link(engine: FakeEngine, linked: ContainerRecord) -> None:
    with pytest.raises(RequestFailedError, match="cannot remove the default link name"):
        await remover(engine).remove("/web")
