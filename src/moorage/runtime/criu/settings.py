"""What a checkpoint or a restore is asked to do."""

from __future__ import annotations

import os

from moorage.runtime.criu.messages import CgroupMode

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH110

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from moorage.runtime.specification import Spec

PROGRAM: Final = "criu"
DESCRIPTORS: Final = "descriptors.json"
"""Beside CRIU's own files, as runc keeps it: where each standard stream led to."""
MOUNTS: Final = "external-mounts.json"
"""Beside CRIU's own files: the mount points whose content is not in the checkpoint."""
_CONFIGURATION: Final = "/etc/criu/runc.conf"
_ANNOTATION: Final = "org.criu.config"


class Settings:
    """The choices of one checkpoint or restore.

    Attributes:
        image_path: Where the files are.
        work_path: Where CRIU logs; "" is the same.
        parent_path: An earlier checkpoint to add to, relative to `image_path`, or "".
        empty_namespaces: `CloneFlag` bits of namespaces whose content is not kept.
        lsm_profile, lsm_mount_context: Of the restored processes, instead of those kept.
        program: CRIU itself.
    """

    __slots__ = (
        "auto_dedup", "cgroup_mode", "empty_namespaces", "ext_unix_sk", "file_locks", "image_path", "leave_running",
        "lsm_mount_context", "lsm_profile", "parent_path", "pre_dump", "program", "shell_job", "tcp_established",
        "work_path",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - a record: one argument per field
        self,
        *,
        image_path: str,
        work_path: str = "",
        parent_path: str = "",
        leave_running: bool = False,
        pre_dump: bool = False,
        tcp_established: bool = False,
        ext_unix_sk: bool = False,
        shell_job: bool = False,
        file_locks: bool = False,
        auto_dedup: bool = False,
        empty_namespaces: int = 0,
        cgroup_mode: CgroupMode = CgroupMode.SOFT,
        lsm_profile: str = "",
        lsm_mount_context: str = "",
        program: str = PROGRAM,
    ) -> None:
        self.image_path = image_path
        self.work_path = work_path
        self.parent_path = parent_path
        self.leave_running = leave_running
        self.pre_dump = pre_dump
        self.tcp_established = tcp_established
        self.ext_unix_sk = ext_unix_sk
        self.shell_job = shell_job
        self.file_locks = file_locks
        self.auto_dedup = auto_dedup
        self.empty_namespaces = empty_namespaces
        self.cgroup_mode = cgroup_mode
        self.lsm_profile = lsm_profile
        self.lsm_mount_context = lsm_mount_context
        self.program = program

    def log_directory(self) -> str:
        """Return where CRIU logs."""
        return self.work_path or self.image_path

    def common_options(self, spec: Spec) -> dict[str, Any]:
        """Return CRIU's options that both directions share."""
        annotations = spec.get("annotations") or {}
        configuration = annotations.get(_ANNOTATION, _CONFIGURATION if os.path.exists(_CONFIGURATION) else "")
        return {
            "log_level": 4,
            "notify_scripts": True,
            "manage_cgroups": True,
            "manage_cgroups_mode": int(self.cgroup_mode),
            "orphan_pts_master": True,
            "ext_masters": True,
            "tcp_established": self.tcp_established,
            "ext_unix_sk": self.ext_unix_sk,
            "shell_job": self.shell_job,
            "file_locks": self.file_locks,
            "auto_dedup": self.auto_dedup,
            "empty_ns": self.empty_namespaces,
            "config_file": configuration,
        }
