"""What sockets tell."""

import socket

from moorage.kernel.sockets import unread_by_peer


def test_what_a_peer_has_not_read_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert unread_by_peer(ours.fileno()) == 0
        ours.send(b"word")
        assert unread_by_peer(ours.fileno()) > 0
        theirs.recv(3)
        assert unread_by_peer(ours.fileno()) > 0
        theirs.recv(1)
        assert unread_by_peer(ours.fileno()) == 0
