"""The instructions that `docker import --change` and `docker commit --change` apply to an image's defaults.

Pure.

Spec: Dockerfile reference; Docker's list of instructions that a change may be.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from moorage.api.signals import parse_signal
from moorage.api.timestamps import read_duration
from moorage.images.change_lines import ChangeLine, InvalidChangeError, change_lines
from moorage.images.words import expand, quoted, split_words
from moorage.oci.image_config import ContainerDefaults, Healthcheck

_SHELL: Final = ("/bin/sh", "-c")
_PORTS: Final = re.compile(r"(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?", re.ASCII)
_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})
_HIGHEST_PORT: Final = 65535
_NOT_ON_BUILD: Final = frozenset({"ONBUILD", "FROM", "MAINTAINER"})
_MILLISECOND: Final = 1_000_000
_EMPTY_VOLUME: Final = "VOLUME specified can not be an empty string"
_INTERVALS: Final = ("interval", "timeout", "start-period", "start-interval")


def apply_changes(defaults: ContainerDefaults, changes: Iterable[str]) -> ContainerDefaults:
    """Return the defaults with instructions such as ``CMD ["a"]`` applied in order.

    All are read before the first is applied.

    Raises:
        InvalidParameterError: One of them cannot be applied; Docker's words.
    """
    texts = list(changes)
    if not texts:
        return defaults
    cmd_given = False
    for keyword, change in [_read(line) for line in change_lines(texts)]:
        defaults = msgspec.structs.replace(defaults, **change(defaults))
        cmd_given = cmd_given or (keyword == "CMD" and bool(defaults.cmd))
        if keyword == "ENTRYPOINT" and not cmd_given:
            # What was the command before were the arguments of another entry point.
            defaults = msgspec.structs.replace(defaults, cmd=None)
    return defaults


def _read(line: ChangeLine) -> "tuple[str, _Change]":
    keyword = line.keyword.upper()
    if keyword == "HEALTHCHECK":
        return keyword, _healthcheck(line)
    reader = _READERS.get(keyword)
    if reader is None:
        raise InvalidChangeError(f"{line.keyword} is not a valid change command")
    change = reader(line.rest)
    _flags(line.flags, ())
    return keyword, change


def _flags(words: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return flags and their values."""
    values: dict[str, str] = {}
    for word in words:
        flag, equals, value = word.partition("=")
        name = flag[2:]
        if name not in known:
            raise InvalidChangeError(f"unknown flag: {flag}")
        if name in values:
            raise InvalidChangeError(f"duplicate flag specified: {flag}")
        if not equals:
            raise InvalidChangeError(f"missing a value on flag: {flag}")
        values[name] = value
    return values


def _one_argument(keyword: str, rest: str) -> str:
    if not rest:
        raise InvalidChangeError(f"{keyword} requires exactly one argument")
    return rest


def _some_arguments(keyword: str, words: Sequence[str]) -> Sequence[str]:
    if not words:
        raise InvalidChangeError(f"{keyword} requires at least one argument")
    return words


_Fields = Mapping[str, object]
#: What an instruction makes of the defaults so far.
_Change = Callable[[ContainerDefaults], _Fields]


def _variables(defaults: ContainerDefaults) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in defaults.env or () if "=" in entry)


def _json_list(rest: str) -> tuple[str, ...] | None:
    """Return a JSON list of strings, or None for what is no JSON list: words of a shell."""
    if not rest.startswith("["):
        return None
    try:
        words = msgspec.json.decode(rest, type=list[Any])
    except msgspec.MsgspecError:
        return None
    if not all(isinstance(word, str) for word in words):
        raise InvalidChangeError("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(words)


def _cmd(rest: str) -> _Change:
    words = _json_list(rest)
    written = (rest,) if rest else ()
    return lambda defaults: {"cmd": words if words is not None else (*(defaults.shell or _SHELL), *written)}


def _entrypoint(rest: str) -> _Change:
    words = _json_list(rest)
    if words is not None or not rest:
        return lambda _: {"entrypoint": words or None}
    return lambda defaults: {"entrypoint": (*(defaults.shell or _SHELL), rest)}


def _env(rest: str) -> _Change:
    pairs = _pairs("ENV", rest)

    def change(defaults: ContainerDefaults) -> _Fields:
        # A variable that was there keeps its place.
        entries = {entry.partition("=")[0]: entry for entry in defaults.env or ()}
        entries.update({name: f"{name}={value}" for name, value in _expanded(pairs, defaults)})
        return {"env": tuple(entries.values())}

    return change


def _label(rest: str) -> _Change:
    pairs = _pairs("LABEL", rest)
    return lambda defaults: {"labels": {**(defaults.labels or {}), **dict(_expanded(pairs, defaults))}}


def _expanded(pairs: Iterable[tuple[str, str]], defaults: ContainerDefaults) -> list[tuple[str, str]]:
    variables = _variables(defaults)
    return [(expand(name, variables=variables), expand(value, variables=variables)) for name, value in pairs]


def _pairs(keyword: str, rest: str) -> list[tuple[str, str]]:
    words = _some_arguments(keyword, split_words(rest))
    if "=" not in words[0]:
        # The old form: one name, and everything after it is the value.
        name, *value = rest.split(maxsplit=1)
        if not value:
            raise InvalidChangeError(f"{keyword} must have two arguments")
        return [(name, value[0])]
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise InvalidChangeError(f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value")
        pairs.append((name, text))
    if not all(name for name, _ in pairs):
        raise InvalidChangeError(f"{keyword} names can not be blank")
    return pairs


def _expose(rest: str) -> _Change:
    words = sorted(_some_arguments("EXPOSE", rest.split()))

    def change(defaults: ContainerDefaults) -> _Fields:
        # The only instruction whose words may become several.
        texts = [text for word in words for text in expand(word, variables=_variables(defaults)).split()]
        ports: dict[str, dict[str, object]] = dict(defaults.exposed_ports or {})
        ports.update({port: {} for text in texts for port in _exposed(text)})
        return {"exposed_ports": ports}

    return change


def _exposed(text: str) -> list[str]:
    # An address and a port of the host may stand before it, and mean nothing.
    numbers, _, protocol = text.rpartition(":")[2].partition("/")
    protocol = (protocol or "tcp").lower()
    if not numbers:
        raise InvalidChangeError(f"no port specified: {text}<empty>")
    if protocol not in _PROTOCOLS:
        raise InvalidChangeError(f"invalid proto: {protocol}")
    match = _PORTS.fullmatch(numbers)
    first, last = (int(match["first"]), int(match["last"] or match["first"])) if match else (1, 0)
    if not first <= last <= _HIGHEST_PORT:
        raise InvalidChangeError(f"invalid containerPort: {numbers}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _healthcheck(line: ChangeLine) -> _Change:
    if not line.rest:
        raise InvalidChangeError("HEALTHCHECK requires at least one argument")
    kind, *rest = line.rest.split(maxsplit=1)
    if kind.upper() == "NONE":
        if rest:
            raise InvalidChangeError("HEALTHCHECK NONE takes no arguments")
        return lambda _: {"healthcheck": Healthcheck(test=("NONE",))}
    options = _flags(line.flags, (*_INTERVALS, "retries"))
    if kind.upper() != "CMD":
        raise InvalidChangeError(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    test = _test(rest[0] if rest else "")
    numbers = {name.replace("-", "_"): _interval(name, options[name]) for name in _INTERVALS if options.get(name)}
    check = Healthcheck(test=test, retries=_retries(options.get("retries", "")), **numbers)
    return lambda _: {"healthcheck": check}


def _test(command: str) -> tuple[str, ...]:
    listed = _json_list(command)
    if not command or listed == ():
        raise InvalidChangeError("Missing command after HEALTHCHECK CMD")
    return ("CMD", *listed) if listed is not None else ("CMD-SHELL", command)


def _interval(name: str, value: str) -> int:
    nanoseconds = read_duration(value)
    if nanoseconds and nanoseconds < _MILLISECOND:
        raise InvalidChangeError(f'Interval "{name}" cannot be less than 1ms')
    return nanoseconds


def _retries(value: str) -> int:
    try:
        retries = int(value or "0")
    except ValueError:
        raise InvalidChangeError(f"strconv.ParseInt: parsing {quoted(value)}: invalid syntax") from None
    if retries < 0:
        raise InvalidChangeError(f"--retries cannot be negative ({retries})")
    return retries


def _on_build(rest: str) -> _Change:
    trigger = _some_arguments("ONBUILD", rest.split())[0].upper()
    if trigger == "ONBUILD":
        raise InvalidChangeError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in _NOT_ON_BUILD:
        raise InvalidChangeError(f"{trigger} isn't allowed as an ONBUILD trigger")
    return lambda defaults: {"on_build": (*(defaults.on_build or ()), rest)}


def _stop_signal(rest: str) -> _Change:
    text = _one_argument("STOPSIGNAL", rest)

    def change(defaults: ContainerDefaults) -> _Fields:
        name = expand(text, variables=_variables(defaults))
        parse_signal(name)
        return {"stop_signal": name}

    return change


def _user(rest: str) -> _Change:
    user = _one_argument("USER", rest)
    return lambda defaults: {"user": expand(user, variables=_variables(defaults))}


def _volume(rest: str) -> _Change:
    listed = _json_list(rest)
    words = [word.strip() for word in _some_arguments("VOLUME", rest.split() if listed is None else listed)]

    def change(defaults: ContainerDefaults) -> _Fields:
        paths = [expand(word, variables=_variables(defaults)) for word in words]
        if not all(paths):
            raise InvalidChangeError(_EMPTY_VOLUME)
        return {"volumes": {**(defaults.volumes or {}), **{path: {} for path in paths}}}

    if not all(words):
        raise InvalidChangeError(_EMPTY_VOLUME)
    return change


def _working_dir(rest: str) -> _Change:
    written = _one_argument("WORKDIR", rest)

    def change(defaults: ContainerDefaults) -> _Fields:
        path = expand(written, variables=_variables(defaults))
        return {"working_dir": posixpath.normpath(posixpath.join("/", defaults.working_dir, path))}

    return change


_READERS: Final[Mapping[str, Callable[[str], _Change]]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _working_dir,
}
