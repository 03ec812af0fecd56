"""Docker's contexts as they lie in the user's directory: where an engine is, and the files that prove who asks.

``contexts/meta/<sha256 of the name>/meta.json`` tells of a context,
``contexts/tls/<the same>/<endpoint>/`` has its ``ca.pem``, ``cert.pem`` and ``key.pem``.
"""

import dataclasses
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from moorage.errors import NotFoundError

ENDPOINT: Final = "docker"

#: Bytes by file name, by endpoint.
Material = Mapping[str, Mapping[str, bytes]]


class ContextError(NotFoundError):
    """No context has this name, or what is stored of it can't be used."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A context as its file tells it; what this program does not know of is kept."""

    name: str
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    endpoints: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def description(self) -> str:
        """What the user said of it."""
        return str(self.metadata.get("Description") or "")

    @property
    def host(self) -> str:
        """Where its engine is; empty without an endpoint of Docker's."""
        return str(self.endpoints.get(ENDPOINT, {}).get("Host") or "")

    @property
    def verifies(self) -> bool:
        """Whether the engine's certificate is checked."""
        return not self.endpoints.get(ENDPOINT, {}).get("SkipTLSVerify", False)

    def described(self, description: str) -> "Context":
        """Return the context with another description."""
        return dataclasses.replace(self, metadata={**self.metadata, "Description": description})

    def at(self, host: str, *, verify: bool) -> "Context":
        """Return the context with its engine elsewhere."""
        return dataclasses.replace(
            self, endpoints={**self.endpoints, ENDPOINT: {"Host": host, "SkipTLSVerify": not verify}}
        )

    def document(self) -> dict[str, Any]:
        """Return what its file says."""
        return {"Name": self.name, "Metadata": self.metadata, "Endpoints": self.endpoints}


def read_context(data: bytes, *, source: str) -> Context:
    """Read a context's file.

    Raises:
        ContextError: It is no JSON, or of another form.
    """
    try:
        found = msgspec.json.decode(data)
        return Context(name=found["Name"], metadata=found.get("Metadata") or {}, endpoints=found.get("Endpoints") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContextError(f"parsing {source}: {error}") from None


class ContextStore:
    """The contexts of one user.

    Args:
        directory: The user's directory of settings.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "contexts"

    def metadata_path(self, name: str) -> Path:
        """Return the directory that tells of a context."""
        return self._directory / "meta" / hashlib.sha256(name.encode()).hexdigest()

    def tls_path(self, name: str) -> Path:
        """Return the directory of a context's files for TLS."""
        return self._directory / "tls" / hashlib.sha256(name.encode()).hexdigest()

    def all(self) -> list[Context]:
        """Return every context, those with numbers in their names in the order of the numbers.

        Raises:
            ContextError: One of them can't be read.
        """
        files = (self._directory / "meta").glob("*/meta.json")
        try:
            found = [read_context(file.read_bytes(), source=str(file)) for file in files]
        except ContextError as error:
            raise ContextError(f"failed to read metadata: {error}") from None
        return sorted(found, key=lambda context: natural_key(context.name))

    def has(self, name: str) -> bool:
        """Tell whether a context is there."""
        return (self.metadata_path(name) / "meta.json").exists()

    def find(self, name: str) -> Context:
        """Return a context.

        Raises:
            ContextError: It is not there, or can't be read.
        """
        file = self.metadata_path(name) / "meta.json"
        try:
            return read_context(file.read_bytes(), source=str(file))
        except OSError as error:
            kind = "context not found: " if isinstance(error, FileNotFoundError) else ""
            raise ContextError(f'context "{name}": {kind}open {file}: {(error.strerror or "").lower()}') from None
        except ContextError as error:
            raise ContextError(f'context "{name}": {error}') from None

    def material(self, name: str) -> Material:
        """Return a context's files for TLS."""
        return {
            endpoint.name: {file.name: file.read_bytes() for file in sorted(endpoint.iterdir())}
            for endpoint in _entries(self.tls_path(name))
        }

    def write(self, context: Context, material: Material | None = None) -> None:
        """Make a context, or replace it.

        Args:
            material: Its files for TLS, in the place of all that it had; None keeps them.
        """
        if material is not None:
            self._write_material(context.name, material)
        directory = self.metadata_path(context.name)
        directory.mkdir(parents=True, exist_ok=True)
        # What has no such file is no context: it comes last, and as a whole.
        partial = directory / "meta.json.partial"
        partial.write_bytes(msgspec.json.encode(context.document()))
        partial.rename(directory / "meta.json")

    def _write_material(self, name: str, material: Material) -> None:
        shutil.rmtree(self.tls_path(name), ignore_errors=True)
        for endpoint, files in material.items():
            directory = self.tls_path(name) / endpoint
            directory.mkdir(parents=True, mode=0o700)
            for file, content in files.items():
                fd = os.open(directory / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb") as out:
                    out.write(content)

    def remove(self, name: str) -> None:
        """Remove a context; a missing one is no error."""
        for directory in (self.metadata_path(name), self.tls_path(name)):
            shutil.rmtree(directory, ignore_errors=True)


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Return what sorts ``node2`` before ``node10``."""
    parts = re.split(r"(\d+)", text)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part]


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
