"""Labels of containers: a process label, a file label, and a level that nobody else has.

Pure. Two containers differ in the two categories of their level, so that one can't touch
the other's files although both have the same type.

Spec: SELinux Notebook, "Security Context", "MLS/MCS Translation"; Docker's ``--security-opt label``.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from moorage.errors import InvalidParameterError

_CATEGORIES: Final = 1024
_OPTIONS: Final = frozenset({"user", "role", "type", "level", "filetype"})
DISABLE: Final = "disable"
#: What is no container's to relabel.
_FORBIDDEN: Final = frozenset(
    """
    / /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /opt /proc /root /run /sbin
    /srv /sys /tmp /usr /var /var/lib /var/log
    """.split()
)


class LabelOptionError(InvalidParameterError):
    """A label option is not understood; Docker's words."""


@dataclass(frozen=True, slots=True)
class Context:
    """A label by its parts; the level may be empty on a host without."""

    user: str
    role: str
    type: str
    level: str = ""

    def __str__(self) -> str:
        """Return the label as the kernel writes it."""
        return ":".join(part for part in (self.user, self.role, self.type, self.level) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of one container; empty ones change nothing."""

    process: str = ""
    mount: str = ""


def parse_context(text: str) -> Context:
    """Split a label.

    Raises:
        LabelOptionError: It has too few parts.
    """
    parts = text.split(":", 3)
    if len(parts) < 3:
        raise LabelOptionError(f"invalid label: {text}")
    return Context(*parts)


def parse_defaults(text: str) -> dict[str, str]:
    """Read the policy's file of labels for containers: ``name = "label"`` lines."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith((";", "#")):
            found[name.strip()] = value.strip().strip('"')
    return found


def labels_for(
    options: Sequence[str], *, defaults: Mapping[str, str], taken: Collection[str], choose: Callable[[int], int]
) -> Labels:
    """Return the labels of a new container.

    Args:
        options: Of ``--security-opt label=``, without that word.
        defaults: What `parse_defaults` found.
        taken: Levels of other containers.
        choose: Returns a number below its argument, at random.

    Raises:
        LabelOptionError: An option is none.
    """
    process, mount = defaults.get("process", ""), defaults.get("file", "")
    if DISABLE in options:
        # Categories that no container gets: only the unconfined may use its files.
        level = _level(_CATEGORIES - 2, _CATEGORIES - 1)
        return Labels(mount=str(replace(parse_context(mount), level=level)) if mount else "")
    changes = dict(_change(option) for option in options)
    if not process or not mount:
        return Labels(mount=mount)
    running, stored = parse_context(process), parse_context(mount)
    if running.level:
        level = unique_level(taken, choose=choose)
        running, stored = replace(running, level=level), replace(stored, level=level)
    for name, value in changes.items():
        if name == "filetype":
            stored = replace(stored, type=value)
            continue
        running = replace(running, **{name: value})
        if name in {"level", "user"}:
            stored = replace(stored, **{name: value})
    return Labels(process=str(running), mount=str(stored))


def shared_label(label: str) -> str:
    """Return a file label that every container may use."""
    return str(replace(parse_context(label), level="s0"))


def same_as(label: str) -> list[str]:
    """Return the options that give a container the label of another one; it disables labels if that has none."""
    if not label:
        return [DISABLE]
    context = parse_context(label)
    parts = {"user": context.user, "role": context.role, "type": context.type, "level": context.level}
    return [f"{name}:{value}" for name, value in parts.items() if value]


def unique_level(taken: Collection[str], *, choose: Callable[[int], int]) -> str:
    """Return a level with two categories that is not among those taken.

    Raises:
        LabelOptionError: There is none left.
    """
    pairs = _CATEGORIES * (_CATEGORIES - 1) // 2
    start = choose(pairs)
    # From a random place on, so that the search ends whatever is taken.
    for number in itertools.chain(range(start, pairs), range(start)):
        level = _level(*_pair(number))
        if level not in taken and number != pairs - 1:
            return level
    raise LabelOptionError("every SELinux level is in use")


def may_relabel(path: str) -> bool:
    """Whether a directory of the host may get a container's label: not those that the host needs itself."""
    return (path.rstrip("/") or "/") not in _FORBIDDEN


def relabel_word(mode: str) -> str:
    """Return ``z`` (shared), ``Z`` (private) or nothing of a mount's mode."""
    return next((word for word in mode.split(",") if word in {"z", "Z"}), "")


def _change(option: str) -> tuple[str, str]:
    name, separator, value = option.partition(":")
    if not separator or name not in _OPTIONS:
        raise LabelOptionError(
            f"bad label option \"{option}\", valid options 'disable' or \n"
            "'user, role, level, type, filetype' followed by ':' and a value"
        )
    return name, value


def _pair(number: int) -> tuple[int, int]:
    """Return the `number`th pair of different categories, the lower one first, counted by the higher one."""
    high = 1
    while number >= high:
        number -= high
        high += 1
    return number, high


def _level(low: int, high: int) -> str:
    return f"s0:c{low},c{high}"
