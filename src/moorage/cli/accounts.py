"""``moor login`` and ``logout``, and the credentials that pulls and pushes send.

The file is Docker's ``config.json`` with its helpers, so both commands share what a user
has logged in to.
"""

import base64
import binascii
import getpass
import json
import subprocess
import sys
from typing import Final

import click

from moorage.api import endpoints
from moorage.api.system import AuthRequest
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call
from moorage.client.user_settings import read_settings, settings_file, write_settings
from moorage.errors import InvalidParameterError

_HUB: Final = "https://index.docker.io/v1/"
_TOKEN_USER: Final = "<token>"  # noqa: S105 - what helpers call an identity token


class CredentialsError(InvalidParameterError):
    """Credentials are missing or can't be kept."""


def registry_header(repository: str) -> dict[str, str]:
    """Return the header with the credentials for a repository's registry; none if there are none."""
    credentials = stored_credentials(registry_of(repository))
    if credentials is None:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode()}


def registry_of(repository: str) -> str:
    """Return the key under which a repository's registry is in the credentials file."""
    domain, separator, _ = repository.partition("/")
    named = separator and ("." in domain or ":" in domain or domain == "localhost")
    return _HUB if not named or domain in {"docker.io", "index.docker.io"} else domain


def default_detach_keys() -> str:
    """Return the key sequence for detaching that the user's configuration names, or ""."""
    return str(read_settings().get("detachKeys") or "")


def stored_credentials(registry: str) -> dict[str, str] | None:
    """Return what is stored for a registry, in the form that the engine takes.

    Raises:
        UserSettingsError: The file can't be read.
        CredentialsError: What it says can't be used.
    """
    settings = read_settings()
    helper = (settings.get("credHelpers") or {}).get(registry) or settings.get("credsStore")
    if helper:
        return _from_helper(helper, registry)
    entry = (settings.get("auths") or {}).get(registry)
    if not entry:
        return None
    if entry.get("identitytoken"):
        return {"identitytoken": entry["identitytoken"], "serveraddress": registry}
    try:
        username, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise CredentialsError(f"invalid auth configuration file for {registry}") from None
    return {"username": username, "password": password, "serveraddress": registry} if username else None


def all_credentials() -> dict[str, dict[str, str]]:
    """Return what the user has logged in to, in the form of the credentials file; helpers are asked.

    Raises:
        UserSettingsError: The file can't be read.
        CredentialsError: What it says can't be used.
    """
    settings = read_settings()
    registries = {*(settings.get("auths") or {}), *(settings.get("credHelpers") or {})}
    found: dict[str, dict[str, str]] = {}
    for registry in sorted(registries):
        held = stored_credentials(registry)
        if held is None:
            continue
        if token := held.get("identitytoken"):
            found[registry] = {"identitytoken": token}
        else:
            pair = f"{held['username']}:{held['password']}"
            found[registry] = {"auth": base64.b64encode(pair.encode()).decode()}
    return found


def _from_helper(helper: str, registry: str) -> dict[str, str] | None:
    done = _run_helper(helper, "get", registry)
    if done is None:
        return None
    found = json.loads(done)
    if found["Username"] == _TOKEN_USER:
        return {"identitytoken": found["Secret"], "serveraddress": registry}
    return {"username": found["Username"], "password": found["Secret"], "serveraddress": registry}


def _run_helper(helper: str, action: str, text: str) -> bytes | None:
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", action], input=text.encode(), capture_output=True, check=False
        )
    except OSError as error:
        raise CredentialsError(f"error getting credentials - {error}") from None
    return done.stdout if done.returncode == 0 else None


@click.command(cls=Command, usage="[OPTIONS] [SERVER]", maximum=1)
@click.option("-p", "--password", default="", help="Password or Personal Access Token (PAT)")
@click.option("--password-stdin", is_flag=True, help="Take the Password or Personal Access Token from stdin")
@click.option("-u", "--username", default="", help="Username")
@click.argument("server", required=False)
@pass_session
def login(session: Session, /, server: str | None, *, password: str, password_stdin: bool, username: str) -> None:
    """Authenticate to a registry."""
    registry = registry_of(f"{server}/x") if server else _HUB
    if password_stdin:
        if password:
            raise CredentialsError("conflicting options: cannot specify both --password and --password-stdin")
        if not username:
            raise CredentialsError("the --password-stdin option requires --username to be set")
        password = sys.stdin.readline().rstrip("\r\n")
    elif password:
        click.echo("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", err=True)
    if not (username and password) and not sys.stdin.isatty():
        raise CredentialsError("Error: Cannot perform an interactive login from a non TTY device")
    username = username or input("Username: ").strip()
    password = password or getpass.getpass("Password: ")
    if not username or not password:
        raise CredentialsError("username and password are required")
    body = AuthRequest(username=username, password=password, server_address=registry)
    answer = session.perform(call(endpoints.SYSTEM_AUTH, body=body))
    _store(registry, username, password, token=answer.identity_token)
    click.echo(answer.status)


def _store(registry: str, username: str, password: str, *, token: str) -> None:
    settings = read_settings()
    helper = (settings.get("credHelpers") or {}).get(registry) or settings.get("credsStore")
    if helper:
        secret = {"ServerURL": registry, "Username": _TOKEN_USER if token else username, "Secret": token or password}
        if _run_helper(helper, "store", json.dumps(secret)) is None:
            raise CredentialsError(f"docker-credential-{helper} did not store the credentials")
        # As Docker does: it tells that somebody logged in there, whoever keeps the secret.
        settings.setdefault("auths", {})[registry] = {}
        write_settings(settings)
        return
    # An identity token stands for the password; the user's name is noted beside it.
    pair = f"{username}:{'' if token else password}"
    entry = {"auth": base64.b64encode(pair.encode()).decode(), **({"identitytoken": token} if token else {})}
    settings.setdefault("auths", {})[registry] = entry
    write_settings(settings)
    click.echo(f"\nWARNING! Your credentials are stored unencrypted in '{settings_file()}'.", err=True)


@click.command(cls=Command, usage="[SERVER]", maximum=1)
@click.argument("server", required=False)
def logout(server: str | None) -> None:
    """Log out from a registry."""
    registry = registry_of(f"{server}/x") if server else _HUB
    settings = read_settings()
    click.echo(f"Removing login credentials for {server or _HUB}")
    helper = (settings.get("credHelpers") or {}).get(registry) or settings.get("credsStore")
    if helper:
        _run_helper(helper, "erase", registry)
    if (settings.get("auths") or {}).pop(registry, None) is not None:
        write_settings(settings)
