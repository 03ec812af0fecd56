"""What a client's first question sets going."""

from typing import Any, cast

from moorage.server.handlers.system import SystemHandlers


def test_the_head_of_a_ping_tells_that_a_process_may_change_its_control_group() -> None:
    told: list[str] = []
    nothing = cast("Any", None)
    handlers = SystemHandlers(
        system=nothing, events=nothing, disk=nothing, login=nothing, expect_move=lambda: told.append("soon")
    )
    answer = handlers.ping_head(nothing)
    assert told == ["soon"]
    assert answer.body == b""
