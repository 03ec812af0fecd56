"""Show everything about one container.

Spec: Engine API, GET /containers/{id}/json.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.api import container_state
from moorage.api.container_state import ZERO_TIME, ContainerInspectResponse, DriverData, NetworkSettings
from moorage.api.containers import ContainerConfig, LegacyContainerConfig
from moorage.api.timestamps import format_time
from moorage.api.versions import Version
from moorage.engine.bundles.mounts import mount_point
from moorage.engine.bundles.security import apparmor_profile
from moorage.engine.containers.links import shown_links
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import Networks, Snapshots
from moorage.engine.containers.records import ContainerRecord, ContainerState, Health
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import container_networks, network_owner
from moorage.engine.containers.sizes import ContainerSizes
from moorage.engine.exec.table import ExecTable
from moorage.logs.options import log_path
from moorage.networks.models import PREDEFINED
from moorage.oci.digest import ChainID

_WITHOUT_SHORT_ID: Final = Version(1, 45)
_WITHOUT_LEGACY_FIELDS: Final = Version(1, 52)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInspector:
    """Shows containers.

    Attributes:
        driver: The storage driver's name.
        apparmor: Whether this host has AppArmor.
    """

    registry: ContainerRegistry
    networks: Networks
    snapshots: Snapshots
    sizes: ContainerSizes
    execs: ExecTable
    paths: ContainerPaths
    driver: str
    apparmor: bool = False

    def inspect(self, reference: str, *, version: Version) -> ContainerInspectResponse:
        """Return all that is known of a container, without sizes.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        record = self.registry.resolve(reference)
        networks = self.networks.network_settings(container_networks(record), api_version=version)
        if version < _WITHOUT_SHORT_ID and record.state.started_before:
            # An engine of that age added it when the container first joined its networks.
            networks = _with_short_ids(networks, record)
        config = record.config
        driver = record.host_config.log_config.type if record.state.started_before else ""
        log = log_path(driver, self.paths.directory(record.id), record.id)
        path, *args = record.command
        return ContainerInspectResponse(
            id=record.id,
            created=format_time(record.definition.created_ns),
            path=path,
            args=args,
            state=show_state(record.state),
            image=record.definition.image_id,
            resolv_conf_path=self._network_file(record, "resolv.conf"),
            hostname_path=self._network_file(record, "hostname"),
            hosts_path=self._network_file(record, "hosts"),
            log_path=str(log or ""),
            name=f"/{record.name}",
            restart_count=record.state.restart_count,
            driver=self.driver,
            platform=record.definition.platform,
            exec_ids=self.execs.unfinished(record.id) or None,
            app_armor_profile=apparmor_profile(record.host_config) if self.apparmor else "",
            process_label=record.labels.process,
            mount_label=record.labels.mount,
            host_config=msgspec.structs.replace(record.host_config, links=shown_links(record, self.registry.resolve)),
            graph_driver=DriverData(name=self.driver, data=self._driver_data(record)),
            mounts=[mount_point(mount) for mount in record.definition.mounts if mount.listed],
            config=config if version >= _WITHOUT_LEGACY_FIELDS else _legacy_config(record),
            network_settings=networks,
        )

    async def inspect_with_sizes(self, reference: str, *, version: Version) -> ContainerInspectResponse:
        """Return all that is known of a container, and measure its files.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        shown = self.inspect(reference, version=version)
        sizes = await self.sizes.of(self.registry.get(shown.id))
        return msgspec.structs.replace(shown, size_rw=sizes.own, size_root_fs=sizes.whole)

    def _network_file(self, record: ContainerRecord, name: str) -> str:
        # Before the first start there is none, and Docker shows no path.
        if not record.state.started_before:
            return ""
        return str(self.paths.directory(network_owner(record, self.registry.find)) / name)

    def _driver_data(self, record: ContainerRecord) -> dict[str, str] | None:
        chain_ids = record.definition.chain_ids
        rootfs = self.snapshots.container_rootfs(record.id, ChainID(chain_ids[-1]) if chain_ids else None)
        plan = rootfs.launch(volatile=False)
        if "upper" not in plan:
            return None
        return {
            "ID": record.id,
            "LowerDir": ":".join(plan["lower"]),
            "MergedDir": str(self.paths.directory(record.id) / "merged"),
            "UpperDir": plan["upper"],
            "WorkDir": plan["work"],
        }


def _legacy_config(record: ContainerRecord) -> ContainerConfig:
    attachments = record.definition.attachments
    fields = msgspec.structs.asdict(record.config)
    return LegacyContainerConfig(**fields, mac_address=attachments[0].mac if attachments else "")


def _with_short_ids(settings: NetworkSettings, record: ContainerRecord) -> NetworkSettings:
    """Count the short ID and the host name among the aliases, as Docker once did."""
    names = (record.id[:12], record.config.hostname)
    networks = {
        name: one
        if name in PREDEFINED
        else msgspec.structs.replace(one, aliases=list(dict.fromkeys((*(one.aliases or ()), *names))))
        for name, one in (settings.networks or {}).items()
    }
    return msgspec.structs.replace(settings, networks=networks)


def show_state(state: ContainerState) -> container_state.ContainerState:
    """Return a state as inspect shows it."""
    return container_state.ContainerState(
        status=state.status.value,
        running=state.running,
        paused=state.paused,
        restarting=state.restarting,
        oom_killed=state.oom_killed,
        dead=state.dead,
        pid=state.pid,
        exit_code=state.exit_code,
        error=state.error,
        started_at=_time(state.started_at_ns),
        finished_at=_time(state.finished_at_ns),
        health=_show_health(state.health) if state.health else None,
    )


def _show_health(health: Health) -> container_state.Health:
    return container_state.Health(
        status=health.status.value,
        failing_streak=health.failing_streak,
        log=[
            container_state.HealthcheckResult(
                start=format_time(result.start_ns),
                end=format_time(result.end_ns),
                exit_code=result.exit_code,
                output=result.output,
            )
            for result in health.log
        ],
    )


def _time(nanoseconds: int) -> str:
    return format_time(nanoseconds) if nanoseconds else ZERO_TIME
