"""Options and variables of the registry."""

import re
from pathlib import Path

import pytest

from moorage.distribution.access.htpasswd import read_htpasswd
from moorage.distribution.configuration import settings_from
from moorage.errors import InvalidParameterError


def test_variables_of_the_usual_image_are_understood_and_options_win() -> None:
    environment = {
        "REGISTRY_HTTP_ADDR": "127.0.0.1:1", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/data",
        "REGISTRY_STORAGE_DELETE_ENABLED": "false", "REGISTRY_STORAGE": "filesystem", "PATH": "/bin",
    }  # fmt: skip
    command, settings = settings_from(["serve", "--addr", ":2"], environment)
    assert (command, settings.addr, settings.storage, settings.delete) == ("serve", ":2", Path("/data"), False)


def test_defaults_are_those_people_expect() -> None:
    command, settings = settings_from([], {})
    assert (command, settings.addr, settings.storage, settings.delete) == (
        "serve", ":5000", Path("/var/lib/registry"), True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        ([], {"REGISTRY_NOTIFICATIONS_ENDPOINTS": "x"}, "REGISTRY_NOTIFICATIONS_ENDPOINTS is not supported"),
        ([], {"REGISTRY_AUTH": "silly"}, "REGISTRY_AUTH can't be 'silly' here"),
        ([], {"REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE": "long"}, 'invalid duration "long"'),
        (["--access-list", "a"], {}, "--htpasswd is needed"),
        (["--access-list", "a", "--htpasswd", "b", "--anonymous-pull"], {}, "says it all"),
        (["--token-key", "a"], {}, "needs an access list"),
        (["--tls-cert", "a"], {}, "go together"),
        (["--token-realm", "a"], {}, "token access needs"),
        (["--anonymous-pull"], {}, "there are none"),
        (["--s3-prefix", "a"], {}, "needs a bucket"),
        (["--addr", "nonsense"], {}, "'nonsense' is no address"),
        (["--addr", "127.0.0.1:99999"], {}, "'127.0.0.1:99999' is no address"),
        (["--metrics-addr", "localhost:"], {}, "'localhost:' is no address"),
        ([], {"REGISTRY_HTTP_ADDR": "5000"}, "'5000' is no address"),
        ([], {"REGISTRY_LOG_LEVEL": "loud"}, "'loud' is no log level"),
        (["--proxy", "registry.example.com"], {}, "'registry.example.com' is no URL of a registry"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments: list[str], environment: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason):
        settings_from(arguments, environment)


@pytest.mark.parametrize("address", [":5000", "127.0.0.1:0", "[::1]:5000", "registry.example.com:443"])
def test_addresses_to_listen_on(address: str) -> None:
    assert settings_from(["--addr", address], {})[1].addr == address


USUAL = """
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/other
  delete:
    enabled: false
  maintenance:
    uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}
http:
  addr: :5001
  headers:
    X-Content-Type-Options: [nosniff]
  debug: {addr: ":5002", prometheus: {enabled: true, path: /metrics}}
auth:
  htpasswd: {realm: here, path: /etc/users}
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
"""


def test_configuration_file_of_the_usual_image_is_understood_and_variables_win(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(USUAL)
    command, settings = settings_from(["serve", str(file), "--realm", "there"], {"REGISTRY_HTTP_ADDR": ":7000"})
    assert (command, settings.addr, settings.storage, settings.delete) == (
        "serve", ":7000", Path("/var/lib/other"), False,
    )  # fmt: skip
    assert (settings.realm, settings.htpasswd, settings.metrics_addr) == ("there", Path("/etc/users"), ":5002")
    assert settings.upload_age == 7 * 86400
    assert settings_from([], {"REGISTRY_CONFIGURATION_PATH": str(file)})[1].addr == ":5001"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version: 0.1\nstorage: {filesystem: }\nnotifications: {endpoints: [x]}", "REGISTRY_NOTIFICATIONS_ENDPOINTS"),
        ("storage: {inmemory: }", "REGISTRY_STORAGE_INMEMORY is not supported"),
        ("http: {headers: {Access-Control-Allow-Origin: ['*']}}", "ACCESS-CONTROL-ALLOW-ORIGIN is not supported"),
        ("version: 0.2", "REGISTRY_VERSION can't be '0.2'"),
        ("a: [", "while parsing"),
        ("just text", "not the configuration of a registry"),
    ],
)
def test_keys_that_are_not_known_are_refused_by_name(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(InvalidParameterError, match=re.escape(reason)):
        settings_from(["serve", str(tmp_path / "config.yml")], {})


def test_secrets_do_not_show() -> None:
    _, settings = settings_from(["--proxy-password", "hunter2", "--s3-secret-key", "hunter3"], {})
    assert "hunter" not in repr(settings)


@pytest.mark.parametrize("text", ["user", ":x", "user:{SHA}abc", "user:$apr1$x"])
def test_password_files_hold_bcrypt_only(text: str) -> None:
    with pytest.raises(InvalidParameterError, match="htpasswd: line 1"):
        read_htpasswd(text)
    assert read_htpasswd("# nobody\n\na:$2y$05$x\n") == {"a": b"$2y$05$x"}
