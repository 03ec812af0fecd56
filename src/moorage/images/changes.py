"""The instructions that `docker import --change` and `docker commit --change` apply to an image's defaults.

Pure.

Spec: Dockerfile reference; Docker's list of instructions that a change may be.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from moorage.api.timestamps import read_duration
from moorage.errors import InvalidParameterError
from moorage.images.words import expand, split_words
from moorage.oci.image_config import ContainerDefaults, Healthcheck

_SHELL: Final = ("/bin/sh", "-c")
_PORTS: Final = re.compile(r"(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>tcp|udp|sctp))?", re.IGNORECASE)
_NOT_ON_BUILD: Final = frozenset({"ONBUILD", "FROM", "MAINTAINER"})


class InvalidChangeError(InvalidParameterError):
    """An instruction is unknown, or its arguments are wrong."""


def apply_changes(defaults: ContainerDefaults, changes: Iterable[str]) -> ContainerDefaults:
    """Return the defaults with instructions such as ``CMD ["a"]`` applied in order.

    Raises:
        InvalidChangeError: One of them cannot be applied.
    """
    cmd_given = False
    for text in changes:
        for line in filter(None, map(str.strip, text.splitlines())):
            defaults = _apply(defaults, line)
            keyword = line.split(maxsplit=1)[0].upper()
            cmd_given = cmd_given or keyword == "CMD"
            if keyword == "ENTRYPOINT" and not cmd_given:
                # What was the command before were the arguments of another entry point.
                defaults = msgspec.structs.replace(defaults, cmd=None)
    return defaults


def _apply(defaults: ContainerDefaults, line: str) -> ContainerDefaults:
    keyword, _, rest = line.partition(" ")
    rest = rest.strip()
    instruction = _INSTRUCTIONS.get(keyword.upper())
    if instruction is None:
        raise InvalidChangeError(f"{keyword} is not a valid change command")
    if not rest:
        raise InvalidChangeError(f"{keyword.upper()} requires at least one argument")
    changed: ContainerDefaults = msgspec.structs.replace(defaults, **instruction(defaults, rest))
    return changed


_Fields = Mapping[str, object]


def _variables(defaults: ContainerDefaults) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in defaults.env or () if "=" in entry)


def _json_list(rest: str) -> tuple[str, ...] | None:
    if not rest.startswith("["):
        return None
    try:
        return tuple(msgspec.json.decode(rest, type=list[str]))
    except msgspec.MsgspecError:
        # Docker too takes what is no list of strings for words of a shell.
        return None


def _cmd(defaults: ContainerDefaults, rest: str) -> _Fields:
    words = _json_list(rest)
    return {"cmd": words if words is not None else (*(defaults.shell or _SHELL), rest)}


def _entrypoint(defaults: ContainerDefaults, rest: str) -> _Fields:
    words = _json_list(rest)
    if words is not None:
        return {"entrypoint": words or None}
    return {"entrypoint": (*(defaults.shell or _SHELL), rest)}


def _env(defaults: ContainerDefaults, rest: str) -> _Fields:
    # A variable that was there keeps its place.
    entries = {entry.partition("=")[0]: entry for entry in defaults.env or ()}
    found = _pairs("ENV", rest, variables=_variables(defaults))
    entries.update({name: f"{name}={value}" for name, value in found})
    return {"env": tuple(entries.values())}


def _label(defaults: ContainerDefaults, rest: str) -> _Fields:
    return {"labels": {**(defaults.labels or {}), **dict(_pairs("LABEL", rest, variables=_variables(defaults)))}}


def _pairs(keyword: str, rest: str, *, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    words = split_words(rest)
    if "=" not in words[0]:
        # The old form: one name, and everything after it is the value.
        name, _, value = rest.partition(" ")
        if not value.strip():
            raise InvalidChangeError(f"{keyword} must have two arguments")
        return [(expand(name, variables=variables), expand(value.strip(), variables=variables))]
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidChangeError(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        if not name:
            raise InvalidChangeError(f"{keyword} names can not be blank")
        pairs.append((expand(name, variables=variables), expand(value, variables=variables)))
    return pairs


def _expose(defaults: ContainerDefaults, rest: str) -> _Fields:
    ports: dict[str, dict[str, object]] = dict(defaults.exposed_ports or {})
    for word in split_words(rest):
        text = expand(word, variables=_variables(defaults))
        match = _PORTS.fullmatch(text)
        if match is None or int(match["last"] or match["first"]) > 65535:
            raise InvalidChangeError(f"invalid containerPort: {text}")
        protocol = (match["protocol"] or "tcp").lower()
        first, last = int(match["first"]), int(match["last"] or match["first"])
        ports.update({f"{port}/{protocol}": {} for port in range(first, last + 1)})
    return {"exposed_ports": ports}


def _healthcheck(defaults: ContainerDefaults, rest: str) -> _Fields:
    options: dict[str, int] = {}
    while rest.startswith("--"):
        option, _, rest = rest.partition(" ")
        rest = rest.strip()
        name, _, value = option[2:].partition("=")
        options.update(_health_option(name, value))
    if not rest:
        raise InvalidChangeError("Missing command after HEALTHCHECK options")
    kind, _, command = rest.partition(" ")
    if kind.upper() == "NONE":
        return {"healthcheck": Healthcheck(test=("NONE",))}
    if kind.upper() != "CMD" or not command.strip():
        raise InvalidChangeError(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    listed = _json_list(command.strip())
    test = ("CMD", *listed) if listed is not None else ("CMD-SHELL", command.strip())
    return {"healthcheck": Healthcheck(test=test, **options)}


def _health_option(name: str, value: str) -> dict[str, int]:
    if name == "retries":
        if not value.isdigit():
            raise InvalidChangeError(f'Invalid value for HEALTHCHECK --retries: "{value}"')
        return {"retries": int(value)}
    if name not in {"interval", "timeout", "start-period", "start-interval"}:
        raise InvalidChangeError(f"Unknown flag: {name}")
    return {name.replace("-", "_"): read_duration(value)}


def _on_build(defaults: ContainerDefaults, rest: str) -> _Fields:
    trigger = rest.partition(" ")[0].upper()
    if trigger in _NOT_ON_BUILD:
        chained = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
        raise InvalidChangeError(chained if trigger == "ONBUILD" else f"{trigger} isn't allowed as an ONBUILD trigger")
    return {"on_build": (*(defaults.on_build or ()), rest)}


def _stop_signal(defaults: ContainerDefaults, rest: str) -> _Fields:
    return {"stop_signal": expand(rest, variables=_variables(defaults))}


def _user(defaults: ContainerDefaults, rest: str) -> _Fields:
    return {"user": expand(rest, variables=_variables(defaults))}


def _volume(defaults: ContainerDefaults, rest: str) -> _Fields:
    listed = _json_list(rest)
    words = listed if listed is not None else tuple(split_words(rest))
    paths = [expand(word, variables=_variables(defaults)) for word in words]
    if not all(path.strip() for path in paths):
        raise InvalidChangeError("VOLUME specified can not be an empty string")
    return {"volumes": {**(defaults.volumes or {}), **{path: {} for path in paths}}}


def _working_dir(defaults: ContainerDefaults, rest: str) -> _Fields:
    path = expand(rest, variables=_variables(defaults))
    return {"working_dir": posixpath.normpath(posixpath.join("/", defaults.working_dir, path))}


_INSTRUCTIONS: Final[Mapping[str, Callable[[ContainerDefaults, str], _Fields]]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _working_dir,
}
