"""How a registry is told what to be: options of the command, and what `variables` reads."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from moorage.api.timestamps import read_duration
from moorage.distribution.variables import CONFIGURATION_PATH, read_configuration, settings_of
from moorage.errors import InvalidParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a registry is.

    Attributes:
        addr: Host and port to listen on; the host may be empty.
        storage: Directory of objects; with S3, of uploads under way only.
        grace: Seconds that a blob lives without a manifest.
        gc_interval: Seconds between garbage collections; 0 for none.
        access_list: File of rights; with one, this registry gives tokens to the users of `htpasswd`.
        token_key: File of the key that signs them; None for one in `storage`.
        sparse: Take manifests whose blobs are not in the repository.
        upload_age: Seconds after which an unfinished upload is given up.
    """

    addr: str = ":5000"
    storage: Path = Path("/var/lib/registry")
    s3_bucket: str = ""
    s3_region: str = ""
    s3_endpoint: str = ""
    s3_prefix: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    metrics_addr: str = ""
    htpasswd: Path | None = None
    realm: str = "Registry"
    anonymous_pull: bool = False
    token_realm: str = ""
    token_service: str = ""
    token_issuer: str = ""
    token_bundle: Path | None = None
    token_jwks: Path | None = None
    access_list: Path | None = None
    token_key: Path | None = None
    proxy: str = ""
    proxy_user: str = ""
    proxy_password: str = ""
    proxy_insecure: bool = False
    delete: bool = True
    read_only: bool = False
    gc_interval: float = 86400.0
    grace: float = 3600.0
    untagged: bool = False
    sparse: bool = False
    upload_age: float = 7 * 86400.0
    log_level: str = "info"

    def __repr__(self) -> str:
        return f"Settings(addr={self.addr!r}, storage={str(self.storage)!r}, ...)"


LOG_LEVELS: Final = ("debug", "info", "warn", "error")
_DEFAULTS: Final = Settings()
_PORT_MAX: Final = 65535
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})
_Add = Callable[..., argparse.Action]


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, Settings]:
    """Return what to do, ``serve`` or ``garbage-collect``, and with which settings.

    Options win over variables, and variables over a configuration file.

    Raises:
        InvalidParameterError: A variable or a key of the file is unknown, or settings contradict each other.
        OSError: The file can't be read.
    """
    parser = _parser()
    file = parser.parse_args(list(arguments)).config or environment.get(CONFIGURATION_PATH)
    if file is not None:
        parser.set_defaults(**_given(read_configuration(Path(file))))
    parser.set_defaults(**_given(environment))
    values = vars(parser.parse_args(list(arguments)))
    command, _ = values.pop("command"), values.pop("config")
    settings = Settings(**{name: value for name, value in values.items() if value is not None})
    _check(settings)
    return command, settings


def _given(variables: Mapping[str, str]) -> dict[str, object]:
    return {setting: _typed(setting, text) for setting, text in settings_of(variables).items()}


def _typed(setting: str, text: str) -> object:
    field = next(field for field in fields(Settings) if field.name == setting)
    if isinstance(field.default, bool):
        return text.lower() not in _FALSE
    if isinstance(field.default, float):
        return read_duration(text) / 1e9
    return Path(text) if "Path" in str(field.type) else text


def _check(settings: Settings) -> None:
    for address in filter(None, (settings.addr, settings.metrics_addr)):
        _check_address(address)
    proxy = urlsplit(settings.proxy)
    if settings.proxy and (proxy.scheme not in {"http", "https"} or not proxy.hostname):
        raise InvalidParameterError(f"{settings.proxy!r} is no URL of a registry")
    if settings.log_level not in LOG_LEVELS:
        raise InvalidParameterError(f"{settings.log_level!r} is no log level: {', '.join(LOG_LEVELS)}")
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidParameterError("a certificate and its key go together")
    _check_tokens(settings)
    if settings.anonymous_pull and not settings.htpasswd:
        raise InvalidParameterError("anonymous pull is an exception to passwords, and there are none")
    if settings.s3_prefix and not settings.s3_bucket:
        raise InvalidParameterError("an S3 prefix needs a bucket")


def _check_address(text: str) -> None:
    port = text.rpartition(":")[2]
    if ":" not in text or not port.isascii() or not port.isdecimal() or int(port) > _PORT_MAX:
        raise InvalidParameterError(f"{text!r} is no address to listen on: it has the form host:port or :port")


def _check_tokens(settings: Settings) -> None:
    if settings.access_list is not None:
        if settings.htpasswd is None:
            raise InvalidParameterError("an access list is about users of a password file: --htpasswd is needed")
        if settings.token_bundle or settings.token_jwks or settings.anonymous_pull:
            raise InvalidParameterError("the access list says it all: no keys of others, no anonymous pull beside it")
        return
    if settings.token_key is not None:
        raise InvalidParameterError("a key for tokens needs an access list")
    keys = settings.token_bundle or settings.token_jwks
    token = (settings.token_realm, settings.token_service, settings.token_issuer, keys)
    if any(token) and not all(token):
        raise InvalidParameterError("token access needs a realm, a service, an issuer, and certificates or a key set")
    if any(token) and settings.htpasswd:
        raise InvalidParameterError("access is either by passwords or by tokens")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="moor registry", description="A registry of images and artifacts.",
        epilog="moor registry passwd FILE USER writes a password for --htpasswd.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("command", nargs="?", choices=("serve", "garbage-collect"), default="serve", help="what to do")
    parser.add_argument(
        "config", nargs="?", help="configuration file in the form of Docker's registry, YAML; variables and options win"
    )
    _add_storage(parser.add_argument_group("storage").add_argument)
    _add_access(parser.add_argument_group("access").add_argument)
    _add_proxy(parser.add_argument_group("pull-through cache").add_argument)
    _add_collection(parser.add_argument_group("deletion and garbage collection").add_argument)
    parser.add_argument("--log-level", default=_DEFAULTS.log_level, choices=LOG_LEVELS, help="how much to log")
    return parser


def _add_storage(add: _Add) -> None:
    add("--addr", default=_DEFAULTS.addr, help="host and port to listen on")
    add("--storage", type=Path, default=_DEFAULTS.storage, help="directory of the data")
    add("--s3-bucket", help="keep the data in this bucket of an S3-compatible store")
    add("--s3-region", help="the bucket's region")
    add("--s3-endpoint", help="URL of the store, where it is not Amazon's")
    add("--s3-prefix", help="what all names in the bucket begin with")
    add("--s3-access-key", help="access key; the usual AWS variables work too")
    add("--s3-secret-key", help="secret key")


def _add_access(add: _Add) -> None:
    add("--tls-cert", type=Path, help="certificate chain, PEM")
    add("--tls-key", type=Path, help="its key, PEM")
    add("--metrics-addr", help="host and port for /metrics and /debug/health")
    add("--htpasswd", type=Path, help="file of users and bcrypt hashes")
    add("--realm", default=_DEFAULTS.realm, help="what people are asked to log in to")
    add("--anonymous-pull", action="store_true", help="passwords are for pushing only")
    add("--access-list", type=Path, help="file of who may do what with which repositories; gives tokens at /token")
    add("--token-key", type=Path, help="key that signs the tokens, PEM, its certificate beside it as .crt; made if "
        "missing (default: token.key in the storage)")  # fmt: skip
    add("--token-realm", help="URL of the server that gives tokens; with an access list, the URL of /token if the "
        "name in requests is not the right one")  # fmt: skip
    add("--token-service", help="this registry's name at that server (default with an access list: registry)")
    add("--token-issuer", help="who must have issued the tokens (default with an access list: moor registry)")
    add("--token-bundle", type=Path, help="certificates of the tokens' keys, PEM")
    add("--token-jwks", type=Path, help="the tokens' keys, as a JSON web key set")


def _add_proxy(add: _Add) -> None:
    add("--proxy", help="URL of a registry whose content is fetched on demand and kept")
    add("--proxy-user", help="user name there")
    add("--proxy-password", help="password there")
    add("--proxy-insecure", action="store_true", help="take any certificate there")


def _add_collection(add: _Add) -> None:
    add("--allow-sparse", dest="sparse", action="store_true", help="take manifests before, or without, their blobs")
    add("--no-delete", dest="delete", action="store_false", default=None, help="refuse to delete")
    add("--read-only", action="store_true", default=None, help="refuse every change")
    add("--gc-interval", type=float, default=_DEFAULTS.gc_interval, help="seconds between collections, 0 for none")
    add("--gc-grace", dest="grace", type=float, default=_DEFAULTS.grace, help="seconds a blob lives without a manifest")
    add("--gc-untagged", dest="untagged", action="store_true", help="collect manifests without tags as well")
    add("--upload-age", type=float, default=_DEFAULTS.upload_age, help="seconds until an unfinished upload is given up")
