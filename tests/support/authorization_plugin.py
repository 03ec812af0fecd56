"""An authorization plugin whose verdicts a test decides."""

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

Judge = Callable[[str, dict[str, Any]], dict[str, Any] | int]
"""Takes AuthZReq or AuthZRes and the question; gives the answer, or a status to fail with."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    judge: Judge
    implements: ClassVar[list[str]] = ["authz"]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        assert isinstance(self.server, _Server)
        if self.path == "/Plugin.Activate":
            self._send({"Implements": self.server.implements})
            return
        said = self.server.judge(self.path.removeprefix("/AuthZPlugin."), json.loads(data))
        if isinstance(said, int):
            # Docker's own library for plugins fails with a whole verdict.
            self._send({"Allow": False, "Msg": "", "Err": "out of order"}, said)
        else:
            self._send(said)

    def _send(self, value: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def plugin(path: Path, judge: Judge, *, implements: list[str] | None = None) -> Iterator[None]:
    """Run a plugin on a unix socket."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with _Server(str(path), _Handler) as server:
        server.judge = judge
        if implements is not None:
            server.implements = implements  # type: ignore[misc]  # of this one alone
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            path.unlink(missing_ok=True)
