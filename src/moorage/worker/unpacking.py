"""The job that unpacks a layer into its own directory."""

from __future__ import annotations

from moorage.worker.archive_input import ArchiveInput
from moorage.worker.extraction import Extraction, Rules
from moorage.worker.failures import invalid
from moorage.worker.roots import enter_directory
from moorage.worker.whiteouts import MarkerWhiteouts, OverlayWhiteouts, RemovingWhiteouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.worker.messages import Call, Result
    from moorage.worker.whiteouts import Whiteouts

_FORMS: dict[str, Callable[[], Whiteouts]] = {
    "overlay": OverlayWhiteouts,
    "markers": MarkerWhiteouts,
    "remove": RemovingWhiteouts,
}


def unpack(call: Call) -> Result:
    """Unpack an uncompressed layer.

    Arguments: `target`, a directory; `whiteouts`, "overlay" or "markers" (the target is
    empty and gets that form) or "remove" (the target is a copy of the layers below); `limit`, bytes
    or null. Descriptors: the archive; a file that gets the names of the directories that
    the archive does not describe, each ended by NUL.

    Returns:
        `size` of the regular files; `implied`, how many such directories there are;
        `ignored_xattrs`, a count.
    """
    rules = Rules()
    form = call.arguments["whiteouts"]
    if form not in _FORMS:
        raise invalid(f"unknown form of whiteouts: {form}")
    rules.whiteouts = _FORMS[form]()
    rules.fresh = form != "remove"
    rules.limit = call.arguments.get("limit")
    top_fd = enter_directory(call.path("target"))
    extraction = Extraction(top_fd, ArchiveInput(call.fds[0]), rules)
    extraction.run()
    implied = extraction.implied()
    with open(call.fds[1], "wb", closefd=False) as report:
        report.write(b"".join(path + b"\0" for path in implied))
    return {
        "size": extraction.size,
        "implied": len(implied),
        "ignored_xattrs": extraction.ignored_xattrs,
    }
