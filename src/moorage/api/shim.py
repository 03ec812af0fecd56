"""What daemon, launcher and shim say to each other.

Every message is one JSON object in one packet of an AF_UNIX SOCK_SEQPACKET socket, with
file descriptors beside it (SCM_RIGHTS). This module is the vocabulary and the framing; it
does no I/O, so both sides bring their own socket:

    payload, ancillary = frame(message, fds)
    sock.sendmsg([payload], ancillary)
    message, fds = unframe(*sock.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)[:3])

Standard library only and cheap to import: the launcher loads it before it forks.
"""

from __future__ import annotations

import enum
import json
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, NotRequired, TypedDict, final

    # Keys that only some messages have make a closed type useless; each request and event
    # below that carries more than its name has its own TypedDict.
    Message = dict[str, Any]

MAX_PACKET = 128 * 1024
"""The largest packet: below the kernel's default socket buffer (208 KiB) with its overhead."""

MAX_LEFTOVER = 16 * 1024
"""The most bytes an attach may bring along; a connection with more is relayed instead."""

MAX_FDS = 250
"""File descriptors in one packet; the kernel takes 253 (SCM_MAX_FD)."""

MORE = {"more": True}
"""The message of a packet that only brings descriptors ahead of the next one."""

# Values from the Linux ABI: the socket module would be an import for four numbers.
SOL_SOCKET = 1
SCM_RIGHTS = 1
MSG_CTRUNC = 0x08
MSG_TRUNC = 0x20
MSG_CMSG_CLOEXEC = 0x40000000

ANCILLARY_SPACE = 16 + 4 * 256
"""Room for MAX_FDS descriptors, as socket.CMSG_SPACE would compute it."""


EXEC_EXIT_SUFFIX = ".exit"
"""Follows the name of an exec's process file in that of the record of an exit which no daemon took note of."""


class Do(enum.StrEnum):
    """Requests. SHIM and WORKER go to the launcher, the others to a shim."""

    SHIM = "shim"
    WORKER = "worker"
    STATE = "state"
    KILL = "kill"
    PAUSE = "pause"
    RESUME = "resume"
    UPDATE = "update"
    RESIZE = "resize"
    ATTACH = "attach"
    EXEC = "exec"
    EXEC_KILL = "exec_kill"
    EXEC_RELEASE = "exec_release"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    CHECKPOINT = "checkpoint"
    REOPEN_LOG = "reopen_log"
    RELEASE = "release"


class Event(enum.StrEnum):
    """What a shim announces to every connected control, unasked."""

    STARTED = "started"
    FAILED = "failed"
    EXITED = "exited"
    OOM = "oom"
    EXEC_EXITED = "exec_exited"
    DETACHED = "detached"
    LOG_FAILED = "log_failed"


class Status(enum.StrEnum):
    """What a container's init process is doing, as the shim sees it."""

    CREATING = "creating"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"
    FAILED = "failed"


class ErrorKind(enum.StrEnum):
    """Kinds of a shim's errors; the daemon maps them to its own."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    NOT_RUNNING = "not_running"
    UNSUPPORTED = "unsupported"
    START = "start"
    LOGGING = "logging"
    SYSTEM = "system"


class FrameError(Exception):
    """A packet that cannot be sent, or is not what the other side may send.

    Attributes:
        fds: Descriptors that arrived with it, for the receiver to close.
    """

    def __init__(self, message: str, fds: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.fds = fds


def frame(message: Message, fds: Sequence[int] = ()) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """Return the payload and the ancillary data of one packet, for `sendmsg`.

    A request's `do` comes first in it: the launcher looks no further.

    Raises:
        FrameError: The packet would be larger than its receiver reads.
    """
    if "do" in message:
        message = {"do": message["do"], **message}
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MAX_PACKET:
        raise FrameError(f"message of {len(payload)} bytes exceeds {MAX_PACKET}")
    if len(fds) > MAX_FDS:
        raise FrameError(f"{len(fds)} file descriptors exceed {MAX_FDS} per packet")
    if not fds:
        return payload, []
    return payload, [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]


def frames(message: Message, fds: Sequence[int]) -> list[tuple[bytes, list[tuple[int, int, bytes]]]]:
    """Return the packets of a message with any number of descriptors.

    All packets but the last are `MORE` and only carry descriptors. They must be sent
    without another message between them.
    """
    first = max(0, (len(fds) - 1) // MAX_FDS) * MAX_FDS
    ahead = [frame(MORE, fds[start : start + MAX_FDS]) for start in range(0, first, MAX_FDS)]
    return [*ahead, frame(message, fds[first:])]


def unframe(payload: bytes, ancillary: Iterable[tuple[int, int, bytes]], flags: int = 0) -> tuple[Message, list[int]]:
    """Return the message and the descriptors of one received packet; the caller owns the latter.

    Raises:
        FrameError: The packet was cut or is not a JSON object.
    """
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds.extend(struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4]))
    problem = "packet was cut" if flags & (MSG_TRUNC | MSG_CTRUNC) else ""
    message: object = None
    if not problem:
        try:
            message = json.loads(payload)
        except ValueError:
            problem = "packet is not JSON"
    if isinstance(message, dict):
        return message, fds
    raise FrameError(problem or "packet is not a JSON object", fds)


if TYPE_CHECKING:

    class Attach(TypedDict):
        """How one client is joined to a container's or an exec's streams; its connection travels beside.

        Attributes:
            leftover: What it has sent already; base64, as the head.
            head: What it is sent first. It gets no output before it has read that.
        """

        id: str
        stdin: bool
        stdout: bool
        stderr: bool
        multiplex: bool
        detach_keys: NotRequired[list[int]]
        leftover: NotRequired[str]
        head: NotRequired[str]

    class ShimRequest(TypedDict):
        """To the launcher; descriptors: control, `forwards` listeners, one connection per attach."""

        do: str
        bundle: str
        forwards: int
        attaches: list[Attach]
        fault: NotRequired[str]

    class ExecRequest(TypedDict):
        """Run one more process; the descriptor, if `attach` is given, is the client's connection.

        Attributes:
            process_file: A runtime-spec `process` object.
            console_size: Rows and columns.
        """

        do: str
        seq: int
        id: str
        process_file: str
        terminal: bool
        stdin: bool
        attach: Attach | None
        console_size: NotRequired[list[int] | None]

    class Problem(TypedDict):
        """An error as it travels."""

        kind: str
        message: str
        exit_code: NotRequired[int]

    class ExitRecord(TypedDict):
        """exit.json, and the facts of the `exited` event.

        Attributes:
            at: Nanoseconds since the epoch.
        """

        exit_code: int
        at: int
        oom_killed: bool
        error: NotRequired[str]

    @final
    class OverlayPlan(TypedDict):
        """Layer directories, the top one first, and the writable pair above them.

        Attributes:
            program: fuse-overlayfs's path; without it the kernel's own overlay is used.
            mapped: Owners are mapped as the container's user namespace maps IDs.
        """

        lower: list[str]
        upper: str
        work: str
        volatile: bool
        program: NotRequired[str]
        mapped: NotRequired[bool]

    @final
    class DirectoryPlan(TypedDict):
        """A root file system that is there already; `mapped` as for layers."""

        path: str
        mapped: NotRequired[bool]

    class DeliveryPlan(TypedDict):
        """How output gets to a log server.

        Attributes:
            driver: What `moorage.logs.drivers` needs: the driver's name, the server's address,
                and what the driver's encoder takes.
            limit: How much may wait to be sent before output is dropped; None drops nothing:
                the container waits instead.
            limit_in_lines: Whether `limit` counts lines, and not bytes.
        """

        driver: dict[str, Any]
        limit: int | None
        limit_in_lines: bool

    class LogPlan(TypedDict):
        """Where and how output is kept; sizes in bytes, 0 is unlimited.

        Attributes:
            driver: The form of the file: "json-file", "local", or "none" for no file.
            delivery: Where else it goes.
        """

        driver: str
        path: str
        max_size: int
        max_file: int
        compress: bool
        attrs: dict[str, str]
        delivery: DeliveryPlan | None

    class InterfacePlan(TypedDict):
        """One veth pair: its host end on `bridge`, its peer called `name` in the container."""

        host: str
        name: str
        mac: str
        mtu: int
        bridge: str
        addresses: list[str]
        gateways: list[str]
        routes: list[dict[str, str]]

    class ForwardPlan(TypedDict):
        """Where connections accepted on the listener of the same index go."""

        protocol: str
        target: tuple[str, int]

    class RuntimePlan(TypedDict):
        """Another runtime's program, and arguments before its sub-command."""

        path: str
        args: list[str]

    class LaunchPlan(TypedDict):
        """launch.json: what the shim must know beside config.json.

        Attributes:
            stdin: "none", "open" (stays open whoever comes and goes) or "once" (closed when
                the first attached client closes it).
            resolver: The file of `moorage.api.resolver` that its name server reads; there
                is a name server once there is the file.
            checkpoint: A checkpoint's directory to go on from, instead of beginning anew.
        """

        id: str
        rootfs: OverlayPlan | DirectoryPlan
        terminal: bool
        console_size: list[int] | None
        stdin: str
        log: LogPlan
        interfaces: list[InterfacePlan]
        loopback: bool
        forwards: list[ForwardPlan]
        resolver: NotRequired[str]
        checkpoint: NotRequired[str]
        runtime: RuntimePlan | None
        cgroup: str
