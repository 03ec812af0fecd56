"""Execs that cannot even be tried."""

import errno
import os
import socket
from typing import Any, cast

import pytest

from moorage.shim.children import Children
from moorage.shim.errands import Errands
from moorage.shim.execs import Execs
from moorage.shim.faults import Faults
from moorage.shim.loop import Loop
from moorage.shim.problems import RequestError

ATTACH = {"id": "a1", "stdin": True, "stdout": True, "stderr": True, "multiplex": True}


class NoProcesses:
    """Errands on a host that has no process to spare."""

    def run(self, *_arguments: object, **_named: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class Patient:
    """Errands that never come back."""

    def run(self, *_arguments: object, **_named: object) -> None:
        return


def run(execs: Execs, client: socket.socket) -> None:
    request: Any = {"id": "e1", "process_file": "/nowhere", "terminal": False, "stdin": True, "attach": ATTACH}
    execs.run(request, client.detach(), init=(1, 0), answer=lambda _answer: None)


def of(errands: object, ended: list[str]) -> Execs:
    return Execs(
        Loop(),
        cast("Children", None),
        cast("Errands", errands),
        faults=Faults(),
        announce=lambda _event: None,
        changed=lambda: None,
        ended=lambda: ended.append("ended"),
        idle=lambda: None,
    )


def test_one_for_which_no_process_can_be_forked_is_forgotten() -> None:
    ended: list[str] = []
    execs = of(NoProcesses(), ended)
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours:
        with pytest.raises(BlockingIOError):
            run(execs, theirs)
        # The container's own end waits for all that run.
        assert not execs.running()
        assert ended == ["ended"]
        assert ours.recv(1) == b""


def test_client_of_a_name_that_is_taken_is_let_go() -> None:
    execs = of(Patient(), [])
    first, theirs = socket.socketpair()
    run(execs, theirs)
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with first, ours:
        with pytest.raises(RequestError):
            run(execs, theirs)
        assert ours.recv(1) == b""
        execs.get("e1").session.close()
        execs.get("e1").stdio.close()
