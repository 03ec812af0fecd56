"""What can go wrong with networks, in Docker's words: clients match them."""

from collections.abc import Mapping

from moorage.errors import (
    ForbiddenError,
    InvalidParameterError,
    NotFoundError,
    NotSupportedError,
    SystemFailureError,
)


class NetworkNotFoundError(NotFoundError):
    """No network has this name or ID."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"network {reference} not found")


class AmbiguousNetworkError(InvalidParameterError):
    """Several networks' IDs begin like this."""

    def __init__(self, reference: str, count: int) -> None:
        super().__init__(f"network {reference} is ambiguous ({count} matches found based on ID prefix)")


class PredefinedNetworkError(ForbiddenError):
    """The name belongs to a network that is always there."""

    def __init__(self, name: str) -> None:
        # Docker's own text ends in a space.
        super().__init__(f"operation is not permitted on predefined {name} network ")


class PredefinedNetworkRemovalError(ForbiddenError):
    """Networks that are always there cannot be removed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is a pre-defined network and cannot be removed")


class ActiveEndpointsError(ForbiddenError):
    """Running containers are attached to the network."""

    def __init__(self, name: str, endpoints: Mapping[str, str]) -> None:
        """Take the endpoints' IDs by their containers' names."""
        listed = ", ".join(f'name:"{container}" id:"{endpoint[:12]}"' for container, endpoint in endpoints.items())
        super().__init__(f"error while removing network: network {name} has active endpoints ({listed})")


class InvalidNetworkError(InvalidParameterError):
    """A network as described cannot exist."""


class ForbiddenNetworkError(ForbiddenError):
    """The network's kind does not allow this."""


class UnknownDriverError(NotFoundError):
    """Nobody provides a driver of this name."""

    def __init__(self, driver: str) -> None:
        super().__init__(f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found')


class UnsupportedNetworkError(NotSupportedError):
    """Docker knows it and this engine does not."""


class InterfaceTakenError(SystemFailureError):
    """A container's interface was to have a name that another one of its has."""

    def __init__(self, name: str) -> None:
        super().__init__(f'error renaming interface to "{name}": file exists')


class AddressPoolsExhaustedError(SystemFailureError):
    """Every subnet of the configured pools is taken, by a network or by a route of the host."""

    def __init__(self) -> None:
        super().__init__("all predefined address pools have been fully subnetted")


class SubnetOverlapError(ForbiddenError):
    """Another network has part of this subnet."""

    def __init__(self) -> None:
        super().__init__("invalid pool request: Pool overlaps with other one on this address space")


class NoAddressLeftError(SystemFailureError):
    """The subnet is full."""

    def __init__(self) -> None:
        super().__init__("no available IPv4 addresses on this network's address pools")


class AddressInUseError(ForbiddenError):
    """Another container, or the gateway, has the address."""

    def __init__(self) -> None:
        super().__init__("Address already in use")


class AddressOutOfRangeError(InvalidParameterError):
    """The address is in none of the network's subnets."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "invalid config for network: invalid endpoint settings:\n"
            f"no configured subnet contains IP address {address}"
        )


class InvalidAttachmentError(InvalidParameterError):
    """A container cannot be attached as described."""


class AlreadyAttachedError(ForbiddenError):
    """The container is on the network already."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(f"endpoint with name {container} already exists in network {network}")


class NotAttachedError(ForbiddenError):
    """The container is not on the network."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(f"container {container} is not connected to network {network}")


class LinkedContainerError(SystemFailureError):
    """A container is linked to one that does not run, or is not on the default network."""

    def __init__(self, container: str, alias: str) -> None:
        super().__init__(f"Cannot link to a non running container: /{container} AS {alias}")


class InvalidPortError(InvalidParameterError):
    """A port or a range of ports makes no sense."""


class PortTakenError(SystemFailureError):
    """A port of the host cannot be had."""


class FirewallError(SystemFailureError):
    """The kernel refused a firewall rule."""
