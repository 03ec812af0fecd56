"""What parent and child say to each other."""

import os

import pytest

from moorage.runtime.channel import Message, channel_pair
from moorage.runtime.errors import StartError, describe, failure
from moorage.runtime.filters import SystemCallFilter


def test_messages_arrive_whole_and_in_order() -> None:
    parent, child = channel_pair()
    child.send(Message.WARNING, "text")
    child.send(Message.READY, ["console"])
    assert parent.receive() == (Message.WARNING, "text", [])
    assert parent.receive() == (Message.READY, ["console"], [])
    parent.close()
    child.close()


def test_descriptors_arrive_and_are_not_inherited() -> None:
    parent, child = channel_pair()
    fd = os.memfd_create("x")
    child.send(Message.READY, fds=[fd])
    _, _, (received,) = parent.receive()
    assert os.path.sameopenfile(fd, received)
    assert not os.get_inheritable(received)
    for each in (fd, received):
        os.close(each)
    parent.close()
    child.close()


def test_last_words_are_heard_also_if_the_other_side_heard_nothing() -> None:
    parent, child = channel_pair()
    parent.send(Message.GO)
    child.send(Message.FAILED, {"message": "m", "exit_code": 127})
    child.close()
    assert parent.receive()[0] is Message.FAILED
    with pytest.raises(EOFError):
        parent.receive()
    parent.close()


def test_filter_survives_the_journey() -> None:
    parent, child = channel_pair()
    listener_fd = os.memfd_create("listener")
    parent.send_with_filter(
        Message.GO, {"a": 1}, SystemCallFilter(bpf=b"\1\2\3", flags=4, metadata="m", listener_fd=listener_fd)
    )
    _, payload, fds = child.receive()
    received = SystemCallFilter.from_message(payload["filter"], fds)
    assert received is not None
    assert received.to_message() == {"bpf": "010203", "flags": 4, "metadata": "m"}
    assert received.listener_fd == fds[0]
    os.close(fds[0])
    parent.close()
    child.close()


def test_no_filter_is_none() -> None:
    assert SystemCallFilter.from_message(None, []) is None


def test_errors_of_the_system_are_worded_with_call_and_path() -> None:
    error = OSError(2, "No such file or directory", "/x")
    error.add_note("in open_tree()")
    error.add_note("more")
    assert describe(error) == "open_tree /x: no such file or directory (more)"
    assert failure(error).message == describe(error)
    assert failure(StartError("m", 127)).exit_code == 127
