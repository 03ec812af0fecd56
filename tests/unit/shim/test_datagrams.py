"""Forwarding UDP."""

import socket

from moorage.shim.datagrams import DatagramForward
from moorage.shim.loop import Loop


def test_forward_survives_that_there_is_no_way_to_the_container() -> None:
    loop = Loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        # To connect to this address is refused to every ordinary socket.
        forward = DatagramForward(loop, listener, ("255.255.255.255", 9))
        client.sendto(b"ping", listener.getsockname())
        loop.run_once()
        assert loop.watches(listener.fileno())
        assert forward.is_quiet
        forward.close()
