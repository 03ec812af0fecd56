"""The environment variables and the configuration file that people know from Docker's registry.

A key of the file is a variable with the path to it as its name, and the other way round.

Spec: distribution's "Configuring a registry".
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from moorage.errors import InvalidParameterError

CONFIGURATION_PATH: Final = "REGISTRY_CONFIGURATION_PATH"
_PREFIX: Final = "REGISTRY_"
_VARIABLES: Final[Mapping[str, str]] = {
    "REGISTRY_HTTP_ADDR": "addr",
    "REGISTRY_HTTP_TLS_CERTIFICATE": "tls_cert",
    "REGISTRY_HTTP_TLS_KEY": "tls_key",
    "REGISTRY_HTTP_DEBUG_ADDR": "metrics_addr",
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "storage",
    "REGISTRY_STORAGE_S3_BUCKET": "s3_bucket",
    "REGISTRY_STORAGE_S3_REGION": "s3_region",
    "REGISTRY_STORAGE_S3_REGIONENDPOINT": "s3_endpoint",
    "REGISTRY_STORAGE_S3_ROOTDIRECTORY": "s3_prefix",
    "REGISTRY_STORAGE_S3_ACCESSKEY": "s3_access_key",
    "REGISTRY_STORAGE_S3_SECRETKEY": "s3_secret_key",
    "REGISTRY_STORAGE_DELETE_ENABLED": "delete",
    "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE": "upload_age",
    "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED": "read_only",
    "REGISTRY_AUTH_HTPASSWD_PATH": "htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM": "realm",
    "REGISTRY_AUTH_TOKEN_REALM": "token_realm",
    "REGISTRY_AUTH_TOKEN_SERVICE": "token_service",
    "REGISTRY_AUTH_TOKEN_ISSUER": "token_issuer",
    "REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE": "token_bundle",
    "REGISTRY_AUTH_TOKEN_JWKS": "token_jwks",
    "REGISTRY_PROXY_REMOTEURL": "proxy",
    "REGISTRY_PROXY_USERNAME": "proxy_user",
    "REGISTRY_PROXY_PASSWORD": "proxy_password",
    "REGISTRY_LOG_LEVEL": "log_level",
}
# These choose what others describe, or ask for what is so here in any case. None stands for every value.
_UNDERSTOOD: Final[Mapping[str, frozenset[str] | None]] = {
    CONFIGURATION_PATH: None,
    "REGISTRY_VERSION": frozenset({"0.1"}),
    "REGISTRY_AUTH": frozenset({"htpasswd", "token", "none"}),
    "REGISTRY_STORAGE": frozenset({"filesystem", "s3"}),
    "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": None,
    "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTORSIZE": None,
    "REGISTRY_STORAGE_FILESYSTEM_MAXTHREADS": None,
    "REGISTRY_STORAGE_REDIRECT_DISABLE": None,
    "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED": frozenset({"true"}),
    "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_INTERVAL": None,
    "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_DRYRUN": frozenset({"false"}),
    # Sessions are not signed, and addresses in answers have no host.
    "REGISTRY_HTTP_SECRET": None,
    "REGISTRY_HTTP_HOST": None,
    "REGISTRY_HTTP_RELATIVEURLS": None,
    "REGISTRY_HTTP_NET": frozenset({"tcp"}),
    "REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS": frozenset({"nosniff"}),
    "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED": frozenset({"true"}),
    "REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH": frozenset({"/metrics"}),
    "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": None,
    "REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL": None,
    "REGISTRY_HEALTH_STORAGEDRIVER_THRESHOLD": None,
    "REGISTRY_LOG_FIELDS_SERVICE": None,
    "REGISTRY_LOG_FORMATTER": frozenset({"text"}),
    "REGISTRY_LOG_ACCESSLOG_DISABLED": frozenset({"true"}),
}


def settings_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that variables give, as text; those of other programs are passed over.

    Raises:
        InvalidParameterError: One is not known, or asks for what can't be done.
    """
    found: dict[str, str] = {}
    for name, text in variables.items():
        if not name.startswith(_PREFIX):
            continue
        if (setting := _VARIABLES.get(name)) is not None:
            found[setting] = text
        elif name not in _UNDERSTOOD:
            raise InvalidParameterError(f"the setting {name} is not supported by this registry")
        elif (allowed := _UNDERSTOOD[name]) is not None and text not in allowed:
            raise InvalidParameterError(f"the setting {name} can't be {text!r} here, but {', '.join(sorted(allowed))}")
    return found


def read_configuration(path: Path) -> dict[str, str]:
    """Read a configuration file; return what it says as variables.

    Raises:
        InvalidParameterError: It is no YAML, or not of this form.
        OSError: It can't be read.
    """
    try:
        document = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidParameterError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidParameterError(f"{path}: not the configuration of a registry")
    return dict(_flat(document, _PREFIX))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _flat(inner, f"{name.removesuffix('_')}_{str(key).upper()}")
        case list():
            yield name, ",".join(map(str, value))
        case None if any(known.startswith(f"{name}_") for known in (*_VARIABLES, *_UNDERSTOOD)):
            # A section that is there and empty leaves everything as it is.
            return
        case bool():
            yield name, str(value).lower()
        case other:
            yield name, str(other)
