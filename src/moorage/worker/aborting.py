"""The job that frees processes from a root file system whose program does not answer."""

from __future__ import annotations

from moorage.kernel import fuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.worker.messages import Call, Result


def abort_root(call: Call) -> Result:
    """Break the connection to the program that serves a container's root, if one does.

    A process that waits for its answer can't be killed before. Nobody can use the root afterwards.

    Arguments: `pids` of the container's processes, on the host.

    Returns:
        `aborted`.
    """
    return {"aborted": any(_abort_root_of(pid) for pid in call.arguments["pids"])}


def _abort_root_of(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as lines:  # noqa: PTH123 - workers load no pathlib
            connection = served_root(lines.read())
        if connection is None:
            return False
        fuse.abort(connection)
    except OSError:
        # It has ended, or has let go of its mounts already: another one may still wait.
        return False
    return True


def served_root(mountinfo: bytes) -> int | None:
    """Return the connection that a root file system is served on; None if it is another file system.

    Spec: proc(5), /proc/pid/mountinfo.
    """
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(b" - ")
        words = fields.split()
        kind = rest.split(b" ", 1)[0].decode()
        if words[4] == b"/" and kind.partition(".")[0] == fuse.FILE_SYSTEM:
            return int(words[2].partition(b":")[2])
    return None
