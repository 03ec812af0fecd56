"""Making sure that nothing inside a container ever reaches the engine's code.

A container's first process is for some time a copy of the launcher. Its program could be
`#!/proc/self/exe`, or it could find the file behind a descriptor and overwrite the host's
interpreter (CVE-2019-5736); and a late import after the root was changed would run code
from the image.
"""

from __future__ import annotations

import codecs
import os
import sys

from moorage.kernel.memfd import sealed_copy

_NAME = "moor-launcher"
_LIBRARY_PATH = "LD_LIBRARY_PATH"
_FORMER_LIBRARY_PATH = "MOORAGE_LD_LIBRARY_PATH"
_CODECS = ("ascii", "idna", "latin-1", "unicode_escape", "utf-8")


def run_from_sealed_copy() -> None:
    """Start this program anew from a copy of the interpreter in memory; return if it already runs from it.

    Raises:
        OSError: There can be no such copy.
    """
    program = os.readlink("/proc/self/exe")  # noqa: PTH115 - pathlib is too slow to import here
    if program.startswith(f"/memfd:{_NAME}"):
        _restore_library_path()
        return
    interpreter_fd = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    copy_fd = sealed_copy(interpreter_fd, _NAME, executable=True)
    # The interpreter finds its standard library from its name, not from the file it is in.
    os.execve(copy_fd, [sys.executable, *sys.orig_argv[1:]], _environment())  # noqa: S606


def forbid_imports() -> None:
    """Make every later import fail, except of what is loaded already."""
    for name in _CODECS:
        codecs.lookup(name)
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if directory := _shared_library_directory():
        # An interpreter that is mostly a shared library finds that beside its own file,
        # which is nowhere once it is in memory.
        former = environment.get(_LIBRARY_PATH, "")
        environment[_FORMER_LIBRARY_PATH] = former
        environment[_LIBRARY_PATH] = f"{directory}:{former}" if former else directory
    return environment


def _restore_library_path() -> None:
    former = os.environ.pop(_FORMER_LIBRARY_PATH, None)
    if former:
        os.environ[_LIBRARY_PATH] = former
    elif former is not None:
        del os.environ[_LIBRARY_PATH]


def _shared_library_directory() -> str:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:  # noqa: PTH123
        for line in maps:
            directory, _, name = line.rstrip("\n").rpartition("/")
            if name.startswith("libpython"):
                return directory[directory.index("/") :]
    return ""
