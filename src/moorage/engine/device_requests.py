"""Requests for devices by what they can do: CDI devices by name, and GPUs through them.

Spec: Engine API, definition "DeviceRequest".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moorage.api.host_config import DeviceRequest
from moorage.engine.bundles.cdi_edits import apply_edits
from moorage.engine.cdi import CDIRegistry
from moorage.errors import InvalidParameterError

_CDI: Final = "cdi"


@dataclass(frozen=True, slots=True, kw_only=True)
class _GPUDriver:
    """A vendor whose CDI devices serve requests for GPUs.

    Attributes:
        kind: Of the devices that unqualified IDs mean.
        names: By which a request may ask for the driver.
        capabilities: What a request without a name may ask for.
    """

    kind: str
    names: frozenset[str]
    capabilities: frozenset[str]


_GPU_DRIVERS: Final = (
    _GPUDriver(
        kind="nvidia.com/gpu",
        names=frozenset({"nvidia", "nvidia.cdi"}),
        capabilities=frozenset("gpu nvidia compute compat32 graphics utility video display".split()),
    ),
    _GPUDriver(kind="amd.com/gpu", names=frozenset({"amd"}), capabilities=frozenset({"gpu", "amd"})),
)


class NoDeviceDriverError(InvalidParameterError):
    """A device request asks for a kind of device that nothing on this host provides."""

    def __init__(self, driver: str, capabilities: Sequence[Sequence[str]]) -> None:
        wanted = " ".join("[" + " ".join(group) + "]" for group in capabilities)
        super().__init__(f'could not select device driver "{driver}" with capabilities: [{wanted}]')


class DeviceRequestError(InvalidParameterError):
    """A device request contradicts itself, or its devices can't be had."""


@dataclass(frozen=True, slots=True)
class DeviceRequests:
    """Serves device requests."""

    registry: CDIRegistry

    def apply(self, spec: dict[str, Any], requests: Iterable[DeviceRequest]) -> None:
        """Give a container the devices it asks for: its runtime-spec configuration is changed in place.

        Raises:
            NoDeviceDriverError: Nothing here provides such devices.
            DeviceRequestError: They can't be had.
        """
        for request in requests:
            names = self._names(request)
            if not names:
                continue
            try:
                apply_edits(spec, self.registry.edits(names))
            except InvalidParameterError as error:
                raise DeviceRequestError(f"CDI device injection failed: {error}") from error

    def _names(self, request: DeviceRequest) -> list[str]:
        """Return the qualified names of the CDI devices that a request means."""
        if request.driver == _CDI and self.registry.directories:
            if request.count:
                raise DeviceRequestError("unexpected count in CDI device request")
            if request.options:
                raise DeviceRequestError("unexpected options in CDI device request")
            return list(request.device_ids or ())
        driver = self._driver(request)
        if request.count and request.device_ids:
            raise DeviceRequestError("cannot set both Count and DeviceIDs on device request")
        chosen = request.device_ids or (["all"] if request.count < 0 else [str(at) for at in range(request.count)])
        return [name if "=" in name else f"{driver.kind}={name}" for name in chosen]

    def _driver(self, request: DeviceRequest) -> _GPUDriver:
        kinds = {name.partition("=")[0] for name in self.registry.discover().devices}
        for driver in _GPU_DRIVERS:
            wanted = any(driver.capabilities.issuperset(group) for group in request.capabilities or ())
            if driver.kind in kinds and (request.driver in driver.names or (not request.driver and wanted)):
                return driver
        raise NoDeviceDriverError(request.driver, request.capabilities or ())
