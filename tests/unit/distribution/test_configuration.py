"""Options and variables of the registry."""

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
        (["--tls-cert", "a"], {}, "go together"),
        (["--token-realm", "a"], {}, "token access needs"),
        (["--anonymous-pull"], {}, "there are none"),
        (["--s3-prefix", "a"], {}, "needs a bucket"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments: list[str], environment: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason):
        settings_from(arguments, environment)


def test_secrets_do_not_show() -> None:
    _, settings = settings_from(["--proxy-password", "hunter2", "--s3-secret-key", "hunter3"], {})
    assert "hunter" not in repr(settings)


@pytest.mark.parametrize("text", ["user", ":x", "user:{SHA}abc", "user:$apr1$x"])
def test_password_files_hold_bcrypt_only(text: str) -> None:
    with pytest.raises(InvalidParameterError, match="htpasswd: line 1"):
        read_htpasswd(text)
    assert read_htpasswd("# nobody\n\na:$2y$05$x\n") == {"a": b"$2y$05$x"}
