"""A systemd that is played by a thread."""

import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

from moorage.cgroups import dbus_codec

_BEGIN: Final = b"BEGIN\r\n"


class FakeSystemd:
    """Answers on a socket as systemd's private one does, and makes scopes as directories.

    Attributes:
        calls: Members that were called, with their arguments.
        failures: Errors to be answered once, by member.
        state: What the host does, in systemd's words.
    """

    def __init__(self, tmp_path: Path) -> None:
        self.state = "running"
        self.calls: list[tuple[str, list[Any]]] = []
        self.failures: dict[str, str] = {}
        self.cgroups = tmp_path / "cgroups"
        self.path = str(tmp_path / "private")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        greeting = connection.recv(4096)
        assert greeting.startswith(b"\0AUTH EXTERNAL ")
        connection.sendall(b"OK 0123\r\n")
        buffer = bytearray()
        if not greeting.endswith(_BEGIN):
            # As a busy systemd: it comes back late, and leaves what it then reads with BEGIN until more arrives.
            while 0 < len(late := connection.recv(4096, socket.MSG_PEEK)) <= len(_BEGIN):
                time.sleep(0.01)
            buffer += connection.recv(len(late)).removeprefix(_BEGIN)
        while received := connection.recv(4096):
            buffer += received
            while message := dbus_codec.take_message(buffer):
                connection.sendall(self._answer(message))

    def _answer(self, message: dbus_codec.Message) -> bytes:
        self.calls.append((message.member, message.body))
        if failure := self.failures.pop(message.member, None):
            return dbus_codec.answer(9, reply_to=message.sender_serial, signature="s", values=("no",), error=failure)
        if message.member == "Get":
            return dbus_codec.answer(9, reply_to=message.sender_serial, signature="v", values=(("s", self.state),))
        if message.member == "StartTransientUnit":
            properties = dict(message.body[2])
            scope = self.cgroups / properties["Slice"][1] / message.body[0]
            scope.mkdir(parents=True)
            (scope / "cgroup.procs").write_text(f"{properties['PIDs'][1][0]}\n")
        return dbus_codec.answer(9, reply_to=message.sender_serial, signature="o", values=("/job/1",))
