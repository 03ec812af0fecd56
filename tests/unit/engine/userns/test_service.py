"""Which containers get which user namespace."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from moorage.api.host_config import HostConfig
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.userns.mapping import IdMapping, sequence
from moorage.engine.userns.service import (
    UserNamespaceConflictError,
    UserNamespaces,
    UserNamespacesMissingError,
)
from tests.unit.engine.fakes import record

REMAP = IdMapping(uids=sequence([(100000, 65536)]), gids=sequence([(100000, 65536)]))


def service(
    *, remap: IdMapping | None = None, records: Sequence[ContainerRecord] = (), reason: str = ""
) -> UserNamespaces:
    async def why_not() -> str:
        return reason

    return UserNamespaces(
        records=lambda: records,
        why_not=why_not,
        native=lambda name: name != "runsc",
        remap=remap,
        uid_pool=[(1000, 100)],
        gid_pool=[(2000, 100)],
    )


def test_only_the_default_mode_is_remapped() -> None:
    spaces = service(remap=REMAP)
    assert spaces.mapping(record()) == REMAP
    assert spaces.mapping(record(host={"userns_mode": "host"})) is None
    assert service().mapping(record()) is None


def test_a_range_is_kept_while_its_container_is_made_and_as_long_as_it_is_recorded() -> None:
    made: list[ContainerRecord] = []
    spaces = service(records=made)
    wants = HostConfig(userns_mode="auto:size=10")
    with spaces.reserve(wants) as first, spaces.reserve(wants) as second:
        assert first is not None
        assert second is not None
        assert (first.root, second.root) == ((1000, 2000), (1010, 2010))
        made.append(record(host={"userns_mode": "auto:size=10"}, id_mapping=second))
    with spaces.reserve(wants) as third:
        assert third == first
    assert spaces.mapping(made[0]) == second
    with spaces.reserve(HostConfig()) as none:
        assert none is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"privileged": True}, "privileged mode is incompatible with user namespaces.  You must run the container"),
        ({"network_mode": "host"}, "cannot share the host's network namespace when user namespaces are enabled"),
        ({"pid_mode": "host"}, "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
async def test_what_is_the_hosts_is_refused(options: dict[str, Any], text: str) -> None:
    asked = msgspec.structs.replace(HostConfig(), **options)
    await service().check(asked)
    await service(remap=REMAP).check(msgspec.structs.replace(asked, userns_mode="host"))
    for spaces, mode in ((service(remap=REMAP), ""), (service(), "auto")):
        with pytest.raises(UserNamespaceConflictError, match=text):
            await spaces.check(msgspec.structs.replace(asked, userns_mode=mode))


async def test_what_the_host_lacks_is_refused_by_name() -> None:
    wants = HostConfig(userns_mode="auto")
    with pytest.raises(UserNamespacesMissingError, match="not supported on this host: no such call"):
        await service(reason="no such call").check(wants)
    with pytest.raises(UserNamespacesMissingError, match="not supported with the runtime runsc"):
        await service().check(msgspec.structs.replace(wants, runtime="runsc"))
    await service(reason="no such call").check(HostConfig())


async def test_namespaces_are_shared_only_among_the_same_users() -> None:
    with pytest.raises(UserNamespaceConflictError, match="conflicting options: a user namespace of its own"):
        await service().check(HostConfig(userns_mode="auto", network_mode="container:x"))
    spaces = service(remap=REMAP)
    spaces.check_join(record(), record("b" * 64))
    spaces.check_join(record(host={"userns_mode": "host"}), record("b" * 64))
    with pytest.raises(UserNamespaceConflictError, match="it is in another user namespace"):
        spaces.check_join(record(), record("b" * 64, host={"userns_mode": "host"}))
