"""The CDI devices of this host: specifications are read when they are asked for, and again when they change.

Spec: Container Device Interface, README.md, "How does CDI work?".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moorage.errors import InvalidParameterError
from moorage.oci.cdi import ContainerEdits, Device, InvalidSpecificationError, Specification, parse_specification

_Stamp = tuple[int, int, int]


class UnresolvableDevicesError(InvalidParameterError):
    """No specification, or more than one, has these devices."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"unresolvable CDI devices {', '.join(names)}")


@dataclass(frozen=True, slots=True)
class _Entry:
    specification: Specification
    device: Device
    path: Path
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a look at the directories found.

    Attributes:
        devices: By their qualified names, in order.
        errors: For each file that could not be used, why.
    """

    devices: dict[str, _Entry] = field(default_factory=dict)
    errors: dict[Path, list[str]] = field(default_factory=dict)


class CDIRegistry:
    """Finds CDI devices.

    Args:
        directories: Where specifications are; a later one wins over an earlier one. Without any there is no CDI.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = tuple(directories)
        self._parsed: dict[Path, tuple[_Stamp, Specification | str]] = {}

    def discover(self) -> Discovery:
        """Look at the directories; files that did not change are not read again."""
        found = Discovery()
        seen = set()
        conflicts = set()
        for priority, directory in enumerate(self.directories):
            for path in _files(directory):
                seen.add(path)
                specification = self._read(path)
                if isinstance(specification, str):
                    found.errors.setdefault(path, []).append(specification)
                    continue
                for device in specification.devices or ():
                    name = f"{specification.kind}={device.name}"
                    other = found.devices.get(name)
                    if other is not None and other.priority == priority:
                        conflicts.add(name)
                        text = f'conflicting device "{name}" (specs "{path}", "{other.path}")'
                        for at in (path, other.path):
                            found.errors.setdefault(at, []).append(text)
                    else:
                        conflicts.discard(name)
                    found.devices[name] = _Entry(specification, device, path, priority)
        self._parsed = {path: parsed for path, parsed in self._parsed.items() if path in seen}
        devices = {name: found.devices[name] for name in sorted(found.devices) if name not in conflicts}
        return Discovery(devices=devices, errors=found.errors)

    def edits(self, names: Sequence[str]) -> list[ContainerEdits]:
        """Return what devices change: the edits of a specification once, before those of its devices.

        Raises:
            UnresolvableDevicesError: Some are not there.
        """
        devices = self.discover().devices
        if missing := [name for name in names if name not in devices]:
            raise UnresolvableDevicesError(missing)
        edits: list[ContainerEdits] = []
        shared: set[Path] = set()
        for name in names:
            entry = devices[name]
            if entry.path not in shared:
                shared.add(entry.path)
                edits.append(entry.specification.container_edits)
            edits.append(entry.device.container_edits)
        return edits

    def _read(self, path: Path) -> Specification | str:
        """Return a specification, or why it is none."""
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if (known := self._parsed.get(path)) is not None and known[0] == stamp:
                return known[1]
            text = path.read_bytes()
        except OSError as error:
            return f'failed to read CDI Spec "{path}": {error.strerror}'
        try:
            parsed: Specification | str = parse_specification(text, yaml=path.suffix == ".yaml")
        except InvalidSpecificationError as error:
            parsed = f'failed to parse CDI Spec "{path}": {error}'
        self._parsed[path] = (stamp, parsed)
        return parsed


def _files(directory: Path) -> Iterator[Path]:
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        return
    yield from (entry for entry in entries if entry.suffix in {".json", ".yaml"})
