"""Mount option words, translated to what the kernel takes.

Pure. A word is a per-mount attribute, a recursive one, a propagation, a flag of the
file system, or a request to the runtime; anything else is the file system's own option.

Spec: runtime-spec, config.md "Linux mount options".
"""

from __future__ import annotations

from moorage.kernel.mount import MountFlag
from moorage.kernel.mount_fd import MountAttr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

# (bits to clear, bits to set). The access time modes are one field: all of it is
# cleared whenever one of them is chosen, as mount_setattr(2) demands.
_ATIME = int(MountAttr.ATIME)
_RDONLY = int(MountAttr.RDONLY)
_ATTRIBUTES: Final[Mapping[str, tuple[int, int]]] = {
    "ro": (0, int(MountAttr.RDONLY)),
    "rw": (int(MountAttr.RDONLY), 0),
    "nosuid": (0, int(MountAttr.NOSUID)),
    "suid": (int(MountAttr.NOSUID), 0),
    "nodev": (0, int(MountAttr.NODEV)),
    "dev": (int(MountAttr.NODEV), 0),
    "noexec": (0, int(MountAttr.NOEXEC)),
    "exec": (int(MountAttr.NOEXEC), 0),
    "nodiratime": (0, int(MountAttr.NODIRATIME)),
    "diratime": (int(MountAttr.NODIRATIME), 0),
    "nosymfollow": (0, int(MountAttr.NOSYMFOLLOW)),
    "symfollow": (int(MountAttr.NOSYMFOLLOW), 0),
    "noatime": (_ATIME, int(MountAttr.NOATIME)),
    "strictatime": (_ATIME, int(MountAttr.STRICTATIME)),
    # The kernel's own default is relatime, so that is what the negations lead to.
    "relatime": (_ATIME, int(MountAttr.RELATIME)),
    "atime": (_ATIME, int(MountAttr.RELATIME)),
    "nostrictatime": (_ATIME, int(MountAttr.RELATIME)),
    "norelatime": (_ATIME, int(MountAttr.RELATIME)),
}
_RECURSIVE: Final = frozenset(f"r{word}" for word in _ATTRIBUTES)

PROPAGATION: Final[Mapping[str, int]] = {
    "private": int(MountFlag.PRIVATE),
    "shared": int(MountFlag.SHARED),
    "slave": int(MountFlag.SLAVE),
    "unbindable": int(MountFlag.UNBINDABLE),
    "rprivate": int(MountFlag.PRIVATE | MountFlag.REC),
    "rshared": int(MountFlag.SHARED | MountFlag.REC),
    "rslave": int(MountFlag.SLAVE | MountFlag.REC),
    "runbindable": int(MountFlag.UNBINDABLE | MountFlag.REC),
}

# Flags of the file system itself: the word that sets one, by the word given. None means
# that the word asks for what a new file system does anyway.
_SUPERBLOCK: Final[Mapping[str, str | None]] = {
    "async": None,
    "sync": "sync",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "nolazytime": None,
    "mand": "mand",
    "nomand": None,
    "iversion": "iversion",
    "noiversion": None,
    # Only say how much the kernel logs about a mount that fails.
    "silent": None,
    "loud": None,
    "defaults": None,
}
_UNDONE_BY: Final[Mapping[str, str]] = {
    "async": "sync",
    "nolazytime": "lazytime",
    "nomand": "mand",
    "noiversion": "iversion",
}


class MountOptions:
    """The meaning of one mount's option words.

    Attributes:
        attr_set: `MountAttr` bits the mount gets.
        attr_clr: `MountAttr` bits the mount loses, before `attr_set`.
        recursive_set: The same for the mount and all below it.
        recursive_clr: The same for the mount and all below it.
        propagation: `MountFlag` values, REC included, in the order given.
        superblock: Flags of the file system, to be set by name.
        data: The file system's own options, in the order given.
        bind: A bind mount; with `recursive_bind`, of the mounts below as well.
        idmap: "" or "idmap" or "ridmap".
        copy_up: Whether a tmpfs begins as a copy of the directory it covers.
    """

    __slots__ = (
        "attr_clr",
        "attr_set",
        "bind",
        "copy_up",
        "data",
        "idmap",
        "propagation",
        "recursive_bind",
        "recursive_clr",
        "recursive_set",
        "remount",
        "superblock",
    )

    def __init__(self) -> None:
        self.attr_set = 0
        self.attr_clr = 0
        self.recursive_set = 0
        self.recursive_clr = 0
        self.propagation: list[int] = []
        self.superblock: list[str] = []
        self.data: list[str] = []
        self.bind = False
        self.recursive_bind = False
        self.remount = False
        self.idmap = ""
        self.copy_up = False

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written through the mount."""
        return bool((self.attr_set | self.recursive_set) & _RDONLY)


def parse_options(words: Iterable[str]) -> MountOptions:
    """Translate option words; a later word overrides an earlier one."""
    options = MountOptions()
    for word in words:
        if not (_take_attribute(options, word) or _take_request(options, word) or _take_superblock(options, word)):
            options.data.append(word)
    return options


def _take_attribute(options: MountOptions, word: str) -> bool:
    if word in _ATTRIBUTES:
        clear, bits = _ATTRIBUTES[word]
        options.attr_set = options.attr_set & ~clear | bits
        options.attr_clr = options.attr_clr & ~bits | clear
        return True
    if word in _RECURSIVE:
        clear, bits = _ATTRIBUTES[word[1:]]
        options.recursive_set = options.recursive_set & ~clear | bits
        options.recursive_clr = options.recursive_clr & ~bits | clear
        if clear == _ATIME:
            options.recursive_clr |= _ATIME
        return True
    if word in PROPAGATION:
        options.propagation.append(PROPAGATION[word])
        return True
    return False


def _take_request(options: MountOptions, word: str) -> bool:
    match word:
        case "bind":
            options.bind = True
        case "rbind":
            options.bind = options.recursive_bind = True
        case "remount":
            options.remount = True
        case "idmap" | "ridmap":
            options.idmap = word
        case "tmpcopyup":
            options.copy_up = True
        case _:
            return False
    return True


def _take_superblock(options: MountOptions, word: str) -> bool:
    if word not in _SUPERBLOCK:
        return False
    undone = _UNDONE_BY.get(word)
    if undone in options.superblock:
        options.superblock.remove(undone)
    name = _SUPERBLOCK[word]
    if name and name not in options.superblock:
        options.superblock.append(name)
    return True


def option_words() -> list[str]:
    """Return every word understood, sorted: what the `features` command reports."""
    requests = ("bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup")
    return sorted({*_ATTRIBUTES, *_RECURSIVE, *PROPAGATION, *_SUPERBLOCK, *requests})
