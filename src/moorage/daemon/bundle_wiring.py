"""Put together what tells the runtime what a container is: its mounts, user namespace, labels, devices."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from moorage.daemon.config import ConfigurationError, DaemonConfig
from moorage.daemon.foundations import Foundations
from moorage.daemon.live import LiveConfig
from moorage.daemon.remapping import pools, read_accounts
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.cdi import CDIRegistry
from moorage.engine.containers.bundling import BundleDefaults, Bundler
from moorage.engine.containers.image_mounts import ImageMounts
from moorage.engine.containers.memory_volumes import MemoryVolumes
from moorage.engine.containers.mounting import MountPreparer
from moorage.engine.device_requests import DeviceRequests
from moorage.engine.host_paths import HostPaths
from moorage.engine.selinux.service import SELinux, read_defaults
from moorage.engine.userns.service import UserNamespaces
from moorage.images.assembly import Images


class BundleWiring:
    """The services behind a container's bundle; as in `Wiring`, each is made when it is first asked for."""

    def __init__(self, base: Foundations, *, live: LiveConfig, images: Images) -> None:
        self._base = base
        self._live = live
        self._images = images

    @cached_property
    def mounts(self) -> MountPreparer:
        """Makes what mounts need."""
        base = self._base
        images = ImageMounts(self._images.catalog, base.snapshots)
        return MountPreparer(
            base.volumes, base.files, self.memory_volumes, images, data_root=str(base.config.data_root)
        )

    @cached_property
    def memory_volumes(self) -> MemoryVolumes:
        """Knows who holds the volumes that live in memory."""
        return MemoryVolumes(registry=self._base.registry, volumes=self._base.volumes)

    @cached_property
    def host_paths(self) -> HostPaths:
        """Looks at what users name."""
        return HostPaths(self._base.files)

    @cached_property
    def userns(self) -> UserNamespaces:
        """Decides on user namespaces."""
        base = self._base
        uid_pool, gid_pool = pools(read_accounts())
        foreign = self._live.runtimes
        return UserNamespaces(
            records=base.registry.all,
            why_not=base.snapshots.mapping_obstacle,
            native=lambda name: name not in foreign,
            remap=base.id_mapping,
            uid_pool=uid_pool,
            gid_pool=gid_pool,
        )

    @cached_property
    def selinux(self) -> SELinux:
        """Gives labels to containers."""
        base = self._base
        return SELinux(
            enabled=base.modules.selinux,
            defaults=read_defaults() if base.modules.selinux else {},
            records=base.registry.all,
            resolve=base.registry.resolve,
        )

    @cached_property
    def cdi(self) -> CDIRegistry:
        """Finds the devices that vendors describe."""
        return CDIRegistry(self._base.config.cdi_spec_dirs)

    def facts(self) -> HostFacts:
        """Return what the host can do, with the runtimes that are configured now."""
        live = self._live
        return replace(self._base.facts, default_runtime=live.config.default_runtime, runtimes=live.runtime_names())

    @cached_property
    def bundler(self) -> Bundler:
        """Makes bundles."""
        base, config = self._base, self._base.config
        return Bundler(
            registry=base.registry,
            networks=base.networks.service,
            snapshots=base.snapshots,
            mounts=self.mounts,
            paths=base.paths,
            groups=base.groups,
            requests=DeviceRequests(self.cdi),
            host=base.facts,
            userns=self.userns,
            defaults=BundleDefaults(
                init_path=base.init_path,
                ulimits=config.ulimits,
                runtimes=self._live.runtimes,
                seccomp_profile=read_seccomp_profile(config),
                no_new_privileges=config.no_new_privileges,
                apparmor=base.modules.apparmor,
            ),
        )


def read_seccomp_profile(config: DaemonConfig) -> str:
    """Return the daemon's own seccomp profile: text, a word for a built-in one, or nothing.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    profile = config.seccomp_profile
    if profile in {"", "builtin", "unconfined"}:
        return profile
    try:
        return Path(profile).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"opening seccomp profile ({profile}) failed: {error.strerror}") from None
