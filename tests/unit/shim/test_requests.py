"""What a daemon asks of a shim, while the container ends."""

from collections.abc import Callable
from typing import Any, cast

from moorage.api.shim import Status
from moorage.shim.container import Container
from moorage.shim.errands import Errands
from moorage.shim.faults import Faults
from moorage.shim.requests import Requests


class LateErrands:
    """Errands whose answers come when a test says so."""

    def __init__(self) -> None:
        self.done: Callable[[dict[str, Any], list[int]], None] | None = None

    def run(self, _message: object, *, fds: object, done: Callable[[dict[str, Any], list[int]], None]) -> None:
        del fds
        self.done = done


class Dying:
    """A container whose init process ends during a request."""

    def __init__(self) -> None:
        self.status = Status.RUNNING
        self.init = (1, 0)

    @property
    def is_alive(self) -> bool:
        return self.status is Status.RUNNING

    @property
    def is_over(self) -> bool:
        return False  # its last output is still read


class Answers:
    """A control that remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def test_container_that_has_ended_is_not_taken_for_paused() -> None:
    container, errands, control = Dying(), LateErrands(), Answers()
    requests = Requests(
        cast("Container", container), cast("Errands", errands), is_foreign=False, faults=Faults(), release=lambda: None
    )
    requests.receive(cast("Any", control), {"do": "pause", "seq": 1}, [])
    container.status = Status.EXITED
    assert errands.done is not None
    errands.done({}, [])
    assert container.status is Status.EXITED
    assert control.sent[0]["ok"]
