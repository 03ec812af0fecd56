"""Certificates for servers on the loopback interface."""

import subprocess
from pathlib import Path


def make_certificate(directory: Path) -> None:
    """Write `cert`, which signs itself and is good for 127.0.0.1, and its `key`."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=box",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(directory / "key"), "-out", str(directory / "cert")],
        check=True, capture_output=True,
    )  # fmt: skip
