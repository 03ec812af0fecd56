"""A request is cancelled when its client leaves: what it began is ended all the same, or never was."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from moorage.api.containers import ContainerCreateRequest
from moorage.engine.bundles.host_facts import HostFacts, SecurityModules
from moorage.engine.containers.creating import ContainerCreator, CreateDefaults
from moorage.engine.containers.exporting import ContainerCommitter
from moorage.engine.containers.pausing import ContainerPauser
from moorage.engine.host_paths import HostPaths
from moorage.engine.selinux.service import SELinux
from moorage.engine.userns.service import UserNamespaces
from moorage.oci.digest import ChainID, Digest
from tests.unit.engine.fakes import ID, FakeEngine, FakeFiles, record

FACTS = HostFacts(
    cgroup_version=2,
    features=frozenset(),
    cpus=1,
    cpuset_cpus=frozenset({0}),
    cpuset_mems=frozenset({0}),
    architecture="amd64",
)


class NoImages:
    """Nothing is asked of images for a container without one."""

    def resolve(self, reference: str, **_: object) -> Any:
        raise NotImplementedError

    def children(self, image_id: object) -> Any:
        raise NotImplementedError


class NoPins:
    """There are no layers to keep."""

    def hold(self, _chains: Iterable[ChainID], *, manifest: Digest | None = None) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


async def _mapped() -> str:
    return ""


def creator(engine: FakeEngine) -> ContainerCreator:
    return ContainerCreator(
        registry=engine.registry, images=NoImages(), pins=NoPins(), networks=engine.networks,
        snapshots=engine.snapshots, mounts=engine.mounts, paths=engine.paths, files=FakeFiles(),
        host_paths=HostPaths(FakeFiles()), events=engine.bus, jobs=engine.jobs, host=lambda: FACTS,
        expect_move=lambda: None,
        userns=UserNamespaces(records=engine.registry.all, why_not=_mapped, native=lambda _: True),
        selinux=SELinux(resolve=engine.registry.resolve), modules=SecurityModules(), defaults=CreateDefaults,
    )  # fmt: skip


def pauser(engine: FakeEngine) -> ContainerPauser:
    return ContainerPauser(
        registry=engine.registry, locks=engine.locks, tasks=engine.tasks, events=engine.bus, jobs=engine.jobs,
        on_paused=lambda _: None, on_resumed=lambda _: None,
    )  # fmt: skip


async def leave(request: Coroutine[Any, Any, Any], *, once: Callable[[], bool]) -> None:
    """Begin a request, and let its client leave once something is so."""
    task = asyncio.get_running_loop().create_task(request)
    while not once():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_creation_leaves_a_whole_container_or_none(engine: FakeEngine) -> None:
    directories = engine.paths.containers.iterdir
    await leave(
        creator(engine).create(ContainerCreateRequest(cmd=["true"]), name="web"), once=lambda: any(directories())
    )
    await engine.jobs.finish(timeout=5)
    (made,) = engine.registry.all()
    assert made.name == "web"
    assert list(engine.stored()) == [made.id] == [path.name for path in directories()]
    assert engine.actions() == ["create"]


async def test_a_container_that_was_frozen_is_shown_so(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    await leave(pauser(engine).pause(ID), once=lambda: "pause" in shim.done())
    await engine.jobs.finish(timeout=5)
    assert engine.stored()[ID].state.paused


async def test_a_commit_thaws_what_it_froze(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    committer = ContainerCommitter(
        registry=engine.registry, pauser=pauser(engine), events=engine.bus,
        roots=None, jobs=None, images=None, committer=None,  # type: ignore[arg-type]  # it does not come so far
    )  # fmt: skip

    async def hold_still() -> None:
        async with committer._frozen(ID):
            await asyncio.sleep(3600)

    await leave(hold_still(), once=lambda: "pause" in shim.done())
    await engine.jobs.finish(timeout=5)
    assert shim.done() == ["pause", "resume"]
    assert not engine.stored()[ID].state.paused
