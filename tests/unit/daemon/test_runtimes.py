"""Runtimes in daemon.json and on the command line."""

from typing import Any

import pytest

from moorage.daemon.runtimes import RuntimeProgram, read_runtimes


def test_a_program_and_its_arguments() -> None:
    found = read_runtimes({"r": {"path": "/bin/r", "runtimeArgs": ["--x"]}})
    assert found == {"r": RuntimeProgram(path="/bin/r", arguments=("--x",))}


def test_containerds_type_for_programs_like_runc_names_one() -> None:
    options = {"BinaryName": "/bin/crun", "Root": "/run/crun"}
    found = read_runtimes({"r": {"runtimeType": "io.containerd.runc.v2", "options": options}})
    assert found == {"r": RuntimeProgram(path="/bin/crun", arguments=("--root", "/run/crun"))}
    assert read_runtimes({"r": {"runtimeType": "io.containerd.runc.v2"}})["r"].path == "runc"


def test_flags() -> None:
    assert read_runtimes(["a=/bin/a", "b=/bin/b"])["b"].path == "/bin/b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"r": {}}, "runtime r: either a runtimeType or a path must be configured"),
        ({"r": {"path": "/r", "runtimeType": "t"}}, "cannot configure both path and runtimeType"),
        ({"r": {"path": "/r", "options": {"a": 1}}}, "options cannot be used with a path runtime"),
        ({"r": {"runtimeType": "io.containerd.runsc.v1"}}, "the runtimeType io.containerd.runsc.v1 is not supported"),
        (
            {"r": {"runtimeType": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}}},
            "the option SystemdCgroup is not supported",
        ),
        ({"r": {"runtimeType": "io.containerd.runc.v2", "runtimeArgs": ["-x"]}}, "runtimeArgs cannot be used"),
        ({"r": {"path": "/r", "runtimeArgs": "x"}}, "must be a list of strings"),
        ({"r": {"path": "/r", "shim": 1}}, "unknown setting shim"),
        ({"r": "x"}, "runtime r is no object"),
        (["r"], "use name=path"),
        (["r=/a", "r=/b"], "already registered"),
        ({"moorage": {"path": "/x"}}, "reserved"),
    ],
)
def test_what_can_not_be_used_is_refused(value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_runtimes(value)
