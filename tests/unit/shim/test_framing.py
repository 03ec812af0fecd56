"""Packets between daemon, launcher and shim."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.shim import (
    ANCILLARY_SPACE,
    MAX_FDS,
    MAX_PACKET,
    MSG_CMSG_CLOEXEC,
    Do,
    FrameError,
    frame,
    frames,
    unframe,
)
from moorage.shim import keeper

json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.text(), json_values))
def test_messages_come_back(message: dict[str, object]) -> None:
    payload, ancillary = frame(message)
    assert unframe(payload, ancillary) == (message, [])


def test_descriptors_travel_beside_their_message_and_do_not_leak_into_programs() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        payload, ancillary = frame({"do": Do.STATE}, [0, 1])
        ours.sendmsg([payload], ancillary)
        message, fds = unframe(*theirs.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)[:3])
        assert message == {"do": "state"}
        assert len(fds) == 2
        assert not any(os.get_inheritable(fd) for fd in fds)
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("count", [0, 1, MAX_FDS, MAX_FDS + 1, 2 * MAX_FDS + 7])
def test_any_number_of_descriptors_arrives(count: int) -> None:
    ours, theirs = keeper.socket_pair()
    packets = frames({"do": "shim", "x": 1}, [0] * count)
    for payload, ancillary in packets:
        ours.sendmsg([payload], ancillary)
    received = keeper.receive(theirs)
    assert received is not None
    payload, fds = received
    for fd in fds:
        os.close(fd)
    assert (payload, len(fds)) == (b'{"do":"shim","x":1}', count)
    keeper.send(theirs, b"raw", [0] * count)
    received = keeper.receive(ours)
    assert received is not None
    for fd in received[1]:
        os.close(fd)
    assert len(received[1]) == count
    ours.close()
    assert keeper.receive(theirs) is None
    theirs.close()
    theirs.close()


def test_what_to_do_comes_first() -> None:
    assert frame({"seq": 1, "do": Do.KILL})[0] == b'{"do":"kill","seq":1}'


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[1]", b'{"a":'])
def test_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        unframe(payload, [])


def test_what_the_receiver_would_cut_is_not_sent() -> None:
    with pytest.raises(FrameError):
        frame({"x": "y" * MAX_PACKET})
    with pytest.raises(FrameError):
        frame({}, [0] * (MAX_FDS + 1))
    with pytest.raises(FrameError, match="cut"):
        unframe(b"{}", [], socket.MSG_TRUNC)
