"""The child: from a fresh clone to the container's program.

It runs in a copy of its parent's memory and must never return into it: `run` ends by
exec or by os._exit, whatever happens.
"""

from __future__ import annotations

import gc
import os

from moorage.kernel import namespaces, prctl
from moorage.kernel.namespaces import CloneFlag
from moorage.runtime import console, limits, masking, rootfs
from moorage.runtime.cgroup_mounts import CgroupMount
from moorage.runtime.channel import Message
from moorage.runtime.containment import cgroup_path, host_layout
from moorage.runtime.devices import Devices, create_links, is_set_up_here
from moorage.runtime.errors import StartError, failure
from moorage.runtime.filters import SystemCallFilter
from moorage.runtime.hooks import run_hooks
from moorage.runtime.interfaces import set_loopback_up, sets_loopback_up_itself
from moorage.runtime.keyrings import join_keyring
from moorage.runtime.labels import exec_labels, mount_label
from moorage.runtime.mounts import PreparedMount, attach, prepare
from moorage.runtime.options import PROPAGATION
from moorage.runtime.specification import entries, namespace_paths, section
from moorage.runtime.state_file import Status, oci_state
from moorage.runtime.sysctls import open_proc_sys, write_sysctls
from moorage.runtime.transition import Transition

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from moorage.runtime.channel import Channel
    from moorage.runtime.preparation import Preparation

_FULL_ID_MAP = "0 0 4294967295"


def run(preparation: Preparation, channel: Channel) -> NoReturn:
    """Become the container's program, or tell the parent why not and end."""
    # What is collected for good at exec needs no collecting, which would copy our parent's pages.
    gc.disable()
    try:
        init = Init(preparation, channel)
        init.set_up()
        init.wait_and_start()
    except BaseException as error:  # noqa: BLE001 - the parent's stack must never be unwound here
        report(channel, error)
    os._exit(255)


def report(channel: Channel, error: BaseException) -> None:
    """Tell the parent why its child will not become a program; never raises."""
    try:
        reason = failure(error)
        channel.send(Message.FAILED, {"message": reason.message, "exit_code": reason.exit_code})
    except BaseException:  # noqa: BLE001, S110 - nobody is left to tell
        pass


class Init:
    """The child's side of one start."""

    def __init__(self, preparation: Preparation, channel: Channel) -> None:
        self._preparation = preparation
        self._launch = preparation.launch
        self._spec = preparation.launch.spec
        self._linux = section(self._spec, "linux")
        self._channel = channel
        self._received: set[Message] = set()
        self._pid = 0
        self._has_cgroup_namespace = False
        self._filter: SystemCallFilter | None = None
        self._root_fd = -1
        self._console_fd = -1
        self._proc_sys_fd = -1
        self._label = mount_label(self._linux.get("mountLabel") or "")
        self._has_own_mounts = "mount" in namespace_paths(self._spec)
        self._propagation = PROPAGATION.get(self._linux.get("rootfsPropagation") or "", 0)
        self._transition: Transition

    def set_up(self) -> None:
        """Do everything up to where only the order to start is missing."""
        self._enter_namespaces()
        self._take_over()
        if self._has_own_mounts:
            rootfs.isolate_mounts(self._propagation)
        # Before the others: mountinfo lists mounts in the order of their making.
        self._root_fd = self._preparation.open_root(label=self._label)
        mounts = self._gather_mounts()
        self._build_root(mounts)
        self._transition.check()
        for warning in self._transition.warnings:
            self._warn(warning)
        self._wait_for(Message.GO)
        write_sysctls(section(self._linux, "sysctl"), self._proc_sys_fd)
        os.close(self._proc_sys_fd)
        self._announce_ready()

    def wait_and_start(self) -> None:
        """Wait for the order, run the last hooks and become the program."""
        kept = [fd for label in self._transition.labels for fd in label.fds]
        if self._filter is not None and self._filter.listener_fd >= 0:
            kept.append(self._filter.listener_fd)
        channel = self._preparation.wait_for_start(self._channel, kept=kept)
        if channel is not self._channel:
            # Another process ordered it, and that one learns how it went.
            self._channel = channel
        self._run_hooks("startContainer", Status.CREATED)
        state = self._state(Status.RUNNING)
        self._transition.run(state=state, system_calls=self._filter, warn=self._warn)

    def _enter_namespaces(self) -> None:
        plan = self._preparation.namespaces
        if "user" in plan.new:
            self._wait_for(Message.MAPPED)
        if not plan.needs_stage:
            plan.join(but=frozenset({"pid"}))
        plan.close()
        if "user" in plan.new or "user" in self._preparation.joined_kinds:
            # Without this we are nobody in the new namespace.
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        if sets_loopback_up_itself(self._launch):
            set_loopback_up()
        plan.enter_time_namespace()

    def _take_over(self) -> None:
        os.umask(0)
        os.setsid()
        if not self._launch.no_new_keyring:
            join_keyring(self._launch.container_id, warn=self._warn)
        process = section(self._spec, "process")
        if not process.get("terminal"):
            console.take_stdio(self._launch.stdio)
        if self._spec.get("hostname"):
            namespaces.sethostname(self._spec["hostname"])
        if self._spec.get("domainname"):
            namespaces.setdomainname(self._spec["domainname"])
        if section(self._linux, "personality"):
            limits.set_personality(self._linux["personality"].get("domain") or "LINUX")
        limits.set_memory_policy(section(self._linux, "memoryPolicy"))
        self._proc_sys_fd = open_proc_sys()
        self._transition = Transition(
            process,
            labels=exec_labels(process),
            preserve_fds=self._launch.preserve_fds,
            in_user_namespace=self._in_user_namespace,
        )

    def _gather_mounts(self) -> list[PreparedMount | CgroupMount]:
        bundle = self._launch.bundle
        userns_fd = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC) if self._in_user_namespace else -1
        gathered: list[PreparedMount | CgroupMount] = []
        for number, entry in enumerate(entries(self._spec, "mounts")):
            mapping_fd = self._preparation.mapping_fds.get(number, userns_fd)
            prepared = self._preparation.prepared.get(number) or prepare(
                entry, bundle=bundle, userns_fd=mapping_fd, label=self._label
            )
            gathered.append(self._cgroup_mount(prepared) if prepared.is_cgroup else prepared)
        if userns_fd >= 0:
            os.close(userns_fd)
        if "cgroup" in self._preparation.namespaces.new:
            self._enter_cgroup_namespace()
        return gathered

    def _cgroup_mount(self, prepared: PreparedMount) -> CgroupMount:
        private = "cgroup" in self._preparation.namespaces.new
        if private:
            self._enter_cgroup_namespace()
        self._wait_for(Message.CGROUPS_MADE)
        path = cgroup_path(self._spec, container_id=self._launch.container_id)
        return CgroupMount(prepared, layout=host_layout(), path=path, private=private)

    def _enter_cgroup_namespace(self) -> None:
        if not self._has_cgroup_namespace:
            # Its root is the cgroup we are in at this moment.
            self._wait_for(Message.ATTACHED)
            namespaces.unshare(CloneFlag.NEWCGROUP)
            self._has_cgroup_namespace = True

    @property
    def _in_user_namespace(self) -> bool:
        return "user" in self._preparation.namespaces.new or "user" in self._preparation.joined_kinds

    def _build_root(self, mounts: list[PreparedMount | CgroupMount]) -> None:
        own_devices = is_set_up_here(entries(self._spec, "mounts"))
        borrow = self._in_user_namespace or _in_foreign_user_namespace()
        devices = Devices(entries(self._linux, "devices"), borrow=borrow) if own_devices else None
        mask = masking.Mask(masking.host_null())
        rootfs.attach_root(self._root_fd, self._launch.root_path, propagation=self._propagation)
        late = self._preparation.has_outside_hooks
        if not late:
            self._change_root()
        self._attach_mounts(mounts)
        if devices is not None:
            devices.create(self._root_fd)
            create_links(self._root_fd)
        self._open_console()
        self._make_working_directory()
        if late:
            self._run_outside_hooks()
            self._change_root()
        if self._console_fd < 0:
            console.reopen_null()
        propagation = self._propagation if self._has_own_mounts else 0
        rootfs.finish_root(propagation=propagation, read_only=bool(self._spec["root"].get("readonly")))
        masking.protect(self._root_fd, entries(self._linux, "readonlyPaths"))
        mask.cover(self._root_fd, entries(self._linux, "maskedPaths"))
        mask.close()

    def _attach_mounts(self, mounts: list[PreparedMount | CgroupMount]) -> None:
        for mount in mounts:
            if isinstance(mount, CgroupMount):
                mount.attach(self._root_fd)
            else:
                attach(self._root_fd, mount)

    def _change_root(self) -> None:
        if self._has_own_mounts:
            rootfs.make_root(self._root_fd, pivot=not self._launch.no_pivot)
        else:
            rootfs.enter_root(self._root_fd)

    def _open_console(self) -> None:
        process = section(self._spec, "process")
        if not process.get("terminal"):
            return
        size = console.requested_size(process, self._launch.console_size)
        uid = section(process, "user").get("uid") or 0
        self._console_fd, peer_fd = console.open_console(self._root_fd, size=size, uid=uid)
        console.show_as_console(self._root_fd, peer_fd)
        console.take_terminal(peer_fd)
        os.close(peer_fd)

    def _make_working_directory(self) -> None:
        self._preparation.make_working_directory(self._root_fd)

    def _run_outside_hooks(self) -> None:
        self._channel.send(Message.HOOKS)
        self._wait_for(Message.HOOKS_RUN)
        self._run_hooks("createContainer", Status.CREATING)

    def _run_hooks(self, kind: str, status: Status) -> None:
        hooks = entries(self._spec, "hooks", kind)
        if hooks:
            run_hooks(kind, hooks, self._state(status))

    def _state(self, status: Status) -> dict[str, Any]:
        launch = self._launch
        return oci_state(
            self._spec, container_id=launch.container_id, bundle=launch.bundle, pid=self._pid, status=status
        )

    def _announce_ready(self) -> None:
        if not self._in_user_namespace:
            # Nobody may trace us for what our memory holds of the host. In a user
            # namespace it would take our own /proc files from us.
            prctl.set_dumpable(dumpable=False)
        kept = {"console": self._console_fd}
        if self._launch.rootfs is not None:
            kept["root"] = self._root_fd
        kept = {name: fd for name, fd in kept.items() if fd >= 0}
        self._channel.send(Message.READY, list(kept), fds=list(kept.values()))
        os.close(self._root_fd)
        if self._console_fd >= 0:
            os.close(self._console_fd)

    def _wait_for(self, wanted: Message) -> None:
        while wanted not in self._received:
            kind, payload, fds = self._channel.receive()
            self._received.add(kind)
            if kind is Message.CGROUPS_MADE:
                self._pid = payload["pid"]
            elif kind is Message.GO:
                self._filter = SystemCallFilter.from_message(payload.get("filter"), fds)

    def _warn(self, text: str) -> None:
        self._channel.send(Message.WARNING, text)


def _in_foreign_user_namespace() -> bool:
    """Tell whether the host itself is inside a user namespace, where no nodes can be made."""
    try:
        with open("/proc/self/uid_map") as file:
            return file.read().split() != _FULL_ID_MAP.split()
    except OSError as error:
        raise StartError(f"/proc is not usable on this host: {error.strerror}") from error
