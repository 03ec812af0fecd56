"""Paths of the host that a user named: they may be on a disk that does not answer.

Whoever waits for such a disk cannot be killed. It is this process then, and not a thread of
the daemon, whose end and whose lock on its data would wait as well.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.worker.messages import Call, Result

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH103, PTH110


def look(call: Call) -> Result:
    """Look at paths, make missing directories.

    Arguments: `paths`, to be looked at; `directories`, to be made where nothing is.

    Returns:
        `missing`: which of `paths` are not there. `failed`: directories that cannot be
        made, each with the reason.
    """
    missing = [path for path in call.arguments["paths"] if not _is_there(path)]
    failed: list[tuple[str, str]] = []
    # The mode given to makedirs() is the last directory's alone, and nobody else may write to the others either.
    os.umask(0o022)
    for path in call.arguments["directories"]:
        try:
            os.makedirs(path, exist_ok=True)
        except FileExistsError:
            continue  # a file is as good
        except OSError as error:
            failed.append((path, error.strerror or ""))
    return {"missing": missing, "failed": failed}


def _is_there(path: str) -> bool:
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            # Whoever follows it next should not be the first either.
            os.path.exists(path)
    except OSError:
        return False
    return True
