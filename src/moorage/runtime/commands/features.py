"""`features`: what this runtime can do on this host.

Spec: runtime-spec, features.md, features-linux.md.
"""

from __future__ import annotations

import json
import sys

from moorage.kernel import capabilities, seccomp
from moorage.kernel.libseccomp import ACTIONS, OPERATORS
from moorage.kernel.sched import MemoryPolicy, MemoryPolicyFlag
from moorage.runtime.labels import apparmor_enabled, selinux_enabled
from moorage.runtime.main import VERSION
from moorage.runtime.options import option_words
from moorage.runtime.state_file import OCI_VERSION
from moorage.runtime.validation import HOOK_KINDS, NAMESPACE_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options: there are none."""


def run(_options: argparse.Namespace, _invocation: Invocation) -> int:
    """Print the features."""
    sys.stdout.write(f"{json.dumps(features(), indent=2)}\n")
    return 0


def features() -> dict[str, Any]:
    """Return the features, in the specification's form."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(HOOK_KINDS),
        "mountOptions": option_words(),
        "linux": {
            "namespaces": sorted(NAMESPACE_TYPES),
            "capabilities": list(capabilities.NAMES[: capabilities.last_capability() + 1]),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(OPERATORS),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(name for name, flag in seccomp.FLAGS.items() if seccomp.flag_is_known(flag)),
            },
            "apparmor": {"enabled": apparmor_enabled()},
            "selinux": {"enabled": selinux_enabled()},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {
                "modes": sorted(MemoryPolicy.__members__),
                "flags": sorted(MemoryPolicyFlag.__members__),
            },
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"org.moorage.runtime.version": VERSION},
        "potentiallyUnsafeConfigAnnotations": [],
    }
