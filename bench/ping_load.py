"""Measure requests per second on keep-alive connections, with raw sockets so that the client costs little.

Usage: python bench/ping_load.py SOCKET [--connections N] [--seconds S] [--path /_ping]
"""

import argparse
import selectors
import socket
import time


def request_bytes(path: str) -> bytes:
    """Return the bytes of one GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: d\r\nUser-Agent: load\r\n\r\n".encode()


def connect(path: str, count: int) -> list[socket.socket]:
    """Open connections to a unix socket."""
    connections = []
    for _ in range(count):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        connections.append(connection)
    return connections


def answer_length(connection: socket.socket, request: bytes) -> int:
    """Return how long an answer is; all of them are equally long while the date has the same width."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return len(head) + 4 + length


def measure(connections: list[socket.socket], request: bytes, seconds: float) -> float:
    """Keep one request in flight on every connection; return requests per second."""
    length = answer_length(connections[0], request)
    received = dict.fromkeys(connections, 0)
    selector = selectors.EpollSelector()
    for connection in connections:
        selector.register(connection, selectors.EVENT_READ, connection)
        connection.sendall(request)
    done, start = 0, time.perf_counter()
    end = start + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select():
            ready: socket.socket = key.data
            received[ready] += len(ready.recv(262144))
            if received[ready] >= length:
                received[ready] = 0
                done += 1
                ready.send(request)
    return done / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("socket")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--path", default="/_ping")
    options = parser.parse_args()
    connections = connect(options.socket, options.connections)
    rate = measure(connections, request_bytes(options.path), options.seconds)
    print(f"{rate:.0f} requests per second, {options.connections} connections")


if __name__ == "__main__":
    main()
