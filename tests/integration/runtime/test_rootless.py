"""Containers of a user without privileges."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.kernel import prctl
from tests.integration.runtime.bundles import Bundle, Spec, isolated

pytestmark = pytest.mark.needs("root")

USER = 1000


@pytest.fixture
def public_bundle() -> Iterator[Bundle]:
    """A bundle that belongs to the user; the usual temporary directory is not for others."""
    directory = Path(tempfile.mkdtemp(prefix="moorage-test-"))
    bundle = Bundle(directory)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)
    yield bundle
    shutil.rmtree(directory)


def as_user(body: Any) -> Any:
    """Run a function as the user, in a forked child."""

    def child() -> Any:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        # Giving up root took our own /proc files from us.
        prctl.set_dumpable(dumpable=True)
        return body()

    return isolated(child)


def rootless(spec: Spec) -> None:
    """Give the container a user namespace in which the user is root."""
    linux = spec["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]


def test_user_is_root_inside(public_bundle: Bundle) -> None:
    facts = as_user(
        lambda: public_bundle.run_here("sh", "-c", "id -u; cat /proc/self/setgroups; echo x > /file", change=rootless)
    )
    assert (facts["code"], facts["output"].split(), facts["error"]) == (0, ["0", "deny"], "")
    assert (public_bundle.directory / "rootfs/file").stat().st_uid == USER
    assert any("gets no cgroup" in warning for warning in facts["warnings"])


def test_process_is_added_by_the_user(public_bundle: Bundle) -> None:
    def body() -> Any:
        init = public_bundle.start_here("sleep", "60", change=rootless)
        facts = public_bundle.add_here(init, "sh", "-c", "id -u; cat /proc/1/comm; hostname")
        public_bundle.end_here(init)
        return facts

    facts = as_user(body)
    assert (facts["error"], facts["output"].split()) == ("", ["0", "sleep", "inside"])


def test_limits_that_nobody_could_enforce_are_refused(public_bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        rootless(spec)
        spec["linux"]["resources"] = {"pids": {"limit": 5}}

    facts = as_user(lambda: public_bundle.run_here("true", change=change))
    assert "cannot set pids: this user may not make a cgroup" in facts["error"]
