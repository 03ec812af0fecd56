"""Which containers get which labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.api.host_config import HostConfig
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.confinement import Confinement
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.selinux.context import LabelOptionError, Labels
from moorage.engine.selinux.service import SELinux, read_defaults
from tests.unit.engine.fakes import FakeFiles, record

DEFAULTS = {"process": "u:r:container_t:s0", "file": "u:object_r:container_file_t:s0"}
OTHER = record(
    "b" * 64, labels=Labels(process="u:r:container_t:s0:c1,c2", mount="u:object_r:container_file_t:s0:c1,c2")
)
THIRD = record("c" * 64, labels=Labels(process="u:r:container_t:s0:c7,c8"))


def selinux(*, enabled: bool = True) -> SELinux:
    known: Mapping[str, ContainerRecord] = {"other": OTHER, "third": THIRD}
    return SELinux(enabled=enabled, defaults=DEFAULTS, records=known.values, resolve=known.__getitem__)


def labels(**options: Any) -> Labels:
    return selinux().labels(msgspec.structs.replace(HostConfig(), **options))


def test_nothing_is_labelled_unless_enabled() -> None:
    assert selinux(enabled=False).labels(HostConfig(security_opt=["label=nonsense"])) == Labels()


@pytest.mark.parametrize("options", [{"privileged": True}, {"ipc_mode": "host"}, {"pid_mode": "host"}])
def test_who_shares_the_hosts_namespaces_is_not_confined(options: dict[str, Any]) -> None:
    assert labels(**options).process == ""
    assert labels(**options, security_opt=["label=type:mine_t"]).process.startswith("u:r:mine_t:s0:c")


def test_who_joins_another_container_has_its_label() -> None:
    assert labels(ipc_mode="container:other", pid_mode="container:other") == OTHER.labels
    with pytest.raises(LabelOptionError, match="--ipc and --pid containers SELinux labels aren't the same"):
        labels(ipc_mode="container:other", pid_mode="container:third")


def test_the_policys_labels_are_found(tmp_path: Path) -> None:
    assert read_defaults(tmp_path) == {}
    contexts = tmp_path / "etc/selinux/strict/contexts/lxc_contexts"
    contexts.parent.mkdir(parents=True)
    contexts.write_text('process = "a:b:c:s0"\n')
    (tmp_path / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=strict\n")
    assert read_defaults(tmp_path) == {"process": "a:b:c:s0"}


class Files(FakeFiles):
    """Remembers what is relabelled."""

    def __init__(self) -> None:
        self.labelled: list[tuple[str, str]] = []

    async def relabel(self, path: Path, label: str) -> None:
        self.labelled.append((str(path), label))


async def test_mounts_are_labelled_as_their_mode_says() -> None:
    files = Files()
    mounts = tuple(
        PlannedMount(kind=MountKind.BIND, destination="/d", source=source, mode=mode)
        for source, mode in (("/srv/own", "Z"), ("/srv/shared", "ro,z"), ("/srv/plain", ""))
    )
    await Confinement(files=files).prepare(record(labels=OTHER.labels, mounts=mounts))
    assert files.labelled == [
        ("/srv/own", "u:object_r:container_file_t:s0:c1,c2"),
        ("/srv/shared", "u:object_r:container_file_t:s0"),
    ]
    await Confinement(files=files).prepare(record(mounts=mounts))
    assert len(files.labelled) == 2
    forbidden = PlannedMount(kind=MountKind.BIND, destination="/d", source="/etc", mode="z")
    with pytest.raises(RequestFailedError, match="SELinux relabeling of /etc is not allowed"):
        await Confinement(files=files).prepare(record(labels=OTHER.labels, mounts=(forbidden,)))
