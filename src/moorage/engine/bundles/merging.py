"""What a container takes over from its image.

Pure.

Spec: Engine API, POST /containers/create; image-spec, config.md "config".
"""

import posixpath
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from moorage.api.containers import ContainerConfig, HealthConfig
from moorage.errors import InvalidParameterError
from moorage.oci.image_config import ContainerDefaults, Healthcheck

_HIGHEST_PORT: Final = 65535


class NoCommandError(InvalidParameterError):
    """Neither the request nor the image says what to run."""

    def __init__(self) -> None:
        super().__init__("no command specified")


class InvalidExposedPortError(InvalidParameterError):
    """A key of the exposed ports is no port."""

    def __init__(self, port: str) -> None:
        # Docker finds it while it reads the body.
        super().__init__(f"invalid JSON: invalid port '{port}': invalid syntax")


def canonical_config(config: ContainerConfig) -> ContainerConfig:
    """Return a request's configuration with its path and its ports as they are stored.

    Raises:
        InvalidPortError: What is exposed is no port, in Docker's words.
    """
    path = config.working_dir
    if path.startswith("/"):
        # normpath keeps a leading "//", which POSIX allows and nobody means.
        path = "/" + posixpath.normpath(path).lstrip("/")
    ports = {_canonical_port(port): value for port, value in config.exposed_ports.items()}
    return msgspec.structs.replace(config, working_dir=path, exposed_ports=ports)


def _canonical_port(text: str) -> str:
    number, _, protocol = text.partition("/")
    if not number.isdecimal() or not number.isascii() or int(number) > _HIGHEST_PORT:
        raise InvalidExposedPortError(number)
    return f"{int(number)}/{(protocol or 'tcp').lower()}"


def merge_image_config(config: ContainerConfig, image: ContainerDefaults | None) -> ContainerConfig:
    """Return the request's configuration with the image's where it says nothing.

    Environment and labels merge by name, ports and volumes by union, a health check field
    by field. An entry point in the request drops the image's command too, because the
    command was that entry point's arguments.

    Raises:
        NoCommandError: There is nothing to run.
    """
    defaults = image or ContainerDefaults()
    entrypoint, cmd = _command(config, defaults)
    if not entrypoint and not cmd:
        raise NoCommandError
    return msgspec.structs.replace(
        config,
        user=config.user or defaults.user,
        exposed_ports={**(defaults.exposed_ports or {}), **config.exposed_ports},
        env=_environment(defaults.env or (), config.env or ()) or config.env,
        cmd=cmd,
        entrypoint=entrypoint,
        volumes={**(defaults.volumes or {}), **(config.volumes or {})} or None,
        working_dir=config.working_dir or defaults.working_dir,
        labels={**(defaults.labels or {}), **(config.labels or {})},
        stop_signal=config.stop_signal or defaults.stop_signal,
        stop_timeout=config.stop_timeout if config.stop_timeout is not None else defaults.stop_timeout,
        shell=config.shell or list(defaults.shell or ()),
        on_build=config.on_build or (list(defaults.on_build) if defaults.on_build else None),
        healthcheck=_health(config.healthcheck, defaults.healthcheck),
    )


def merge_environment(below: Iterable[str], above: Iterable[str]) -> list[str]:
    """Return `NAME=value` texts, those of `above` replacing the same names in place.

    A name without ``=`` in `above` takes the variable away.
    """
    merged = {text.partition("=")[0]: text for text in below}
    for text in above:
        name, separator, _ = text.partition("=")
        if separator:
            merged[name] = text
        else:
            merged.pop(name, None)
    return list(merged.values())


def _environment(image: Iterable[str], asked: Sequence[str]) -> list[str]:
    """Return the request's variables as they are, then those of the image that it does not name.

    A name without ``=`` is kept: it takes the variable away when the process starts.
    """
    named = {text.partition("=")[0] for text in asked}
    return [*asked, *(text for text in image if text.partition("=")[0] not in named)]


def _command(config: ContainerConfig, defaults: ContainerDefaults) -> tuple[list[str] | None, list[str] | None]:
    if config.entrypoint:
        # `--entrypoint ""` arrives as [""]: no entry point, and not the image's either.
        entrypoint = None if config.entrypoint == [""] else list(config.entrypoint)
        return entrypoint, config.cmd
    # An empty list is no entry point either, but the image's command still counts.
    entrypoint = _list(defaults.entrypoint) if config.entrypoint is None else []
    return entrypoint, config.cmd or _list(defaults.cmd)


def _list(words: Sequence[str] | None) -> list[str] | None:
    return list(words) if words else None


def _health(asked: HealthConfig | None, defaults: Healthcheck | None) -> HealthConfig | None:
    if defaults is None:
        return asked
    asked = asked or HealthConfig()
    return HealthConfig(
        test=asked.test or list(defaults.test or ()),
        interval=asked.interval or defaults.interval,
        timeout=asked.timeout or defaults.timeout,
        start_period=asked.start_period or defaults.start_period,
        start_interval=asked.start_interval or defaults.start_interval,
        retries=asked.retries or defaults.retries,
    )
