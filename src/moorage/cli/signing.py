"""Signatures of images: make them, verify them, make keys for them.

These commands speak to the registry themselves: a private key is not sent to a daemon that may be elsewhere.
"""

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from moorage.cli.grammar import Command
from moorage.cli.registries import repository_of
from moorage.errors import ConflictError, InvalidParameterError
from moorage.oci.digest import Digest
from moorage.oci.manifest import Index
from moorage.oci.reference import Reference, parse_reference
from moorage.registry.repository import Repository
from moorage.signatures.claims import Claim
from moorage.signatures.gate import read_key_file
from moorage.signatures.keys import make_key_pair, read_private_key, read_public_key
from moorage.signatures.signing import Signer
from moorage.signatures.verifying import Demand, Demands

T = TypeVar("T")

_PASSWORD_VARIABLE: Final = "COSIGN_PASSWORD"  # noqa: S105 - the name of it
_INSECURE_HELP: Final = "Allow plain HTTP and any certificate"


class KeyFileExistsError(ConflictError):
    """A new key would replace one that is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the file {path} exists already")


class NoPasswordError(InvalidParameterError):
    """A password is needed, and nobody can be asked."""

    def __init__(self) -> None:
        super().__init__(f"the key needs a password: give --password-file or {_PASSWORD_VARIABLE}")


@click.command(cls=Command, usage="[OPTIONS] NAME[:TAG|@DIGEST]", minimum=1, maximum=1)
@click.option("--allow-insecure-registry", is_flag=True, help=_INSECURE_HELP)
@click.option("--key", required=True, metavar="file", help="File of the private key")
@click.option("--password-file", metavar="file", help="Read the key's password from a file")
@click.option("-r", "--recursive", is_flag=True, help="Also sign each image of a multi-platform image")
@click.argument("name", required=False)
def sign(name: str, *, allow_insecure_registry: bool, key: str, password_file: str | None, recursive: bool) -> None:
    """Sign an image in a registry."""
    reference = parse_reference(name).with_default_tag()
    pem = read_key_file(Path(key))
    password = _password(password_file, confirm=False) if b"ENCRYPTED" in pem else b""
    signer = Signer(keys=(read_private_key(pem, password=password, source=key),))

    async def run(repository: Repository) -> list[tuple[Digest, bool]]:
        return [
            (digest, await signer.sign(repository, digest=digest, name=reference))
            for digest in await _digests(repository, reference, recursive=recursive)
        ]

    for digest, news in _at_registry(reference, run, insecure=allow_insecure_registry, actions="pull,push"):
        click.echo(f"{digest}: {'signed' if news else 'already signed with this key'}")


@click.command(cls=Command, usage="[OPTIONS] NAME[:TAG|@DIGEST]", minimum=1, maximum=1)
@click.option("--allow-insecure-registry", is_flag=True, help=_INSECURE_HELP)
@click.option("--key", "keys", required=True, multiple=True, metavar="file", help="File of a public key; any may fit")
@click.argument("name", required=False)
def verify(name: str, *, allow_insecure_registry: bool, keys: tuple[str, ...]) -> None:
    """Verify the signature of an image in a registry."""
    reference = parse_reference(name).with_default_tag()
    known = tuple(read_public_key(read_key_file(Path(key)), source=key) for key in keys)
    demands = Demands(reference=reference, demands=(Demand(keys=known, identity=None),))

    async def run(repository: Repository) -> Claim:
        (claim,) = await demands.check(repository, digests=await _digests(repository, reference, recursive=False))
        return claim

    claim = _at_registry(reference, run, insecure=allow_insecure_registry, actions="pull")
    click.echo(f"{claim.digest}: signed as {claim.identity or 'no name'}")


@click.command(cls=Command, usage="[OPTIONS]", maximum=0)
@click.option("--output-key-prefix", default="cosign", metavar="string", help="Write PREFIX.key and PREFIX.pub")
@click.option("--password-file", metavar="file", help="Read the key's password from a file")
def keygen(*, output_key_prefix: str, password_file: str | None) -> None:
    """Make a pair of keys for signing images."""
    private, public = Path(f"{output_key_prefix}.key"), Path(f"{output_key_prefix}.pub")
    for path in (private, public):
        if path.exists():
            raise KeyFileExistsError(path)
    contents = make_key_pair(password=_password(password_file, confirm=True))
    for path, content, mode in ((private, contents[0], 0o600), (public, contents[1], 0o644)):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
    click.echo(f"Private key written to {private}\nPublic key written to {public}")


def _password(path: str | None, *, confirm: bool) -> bytes:
    if path is not None:
        return read_key_file(Path(path)).partition(b"\n")[0].rstrip(b"\r")
    if (given := os.environ.get(_PASSWORD_VARIABLE)) is not None:
        return given.encode()
    if not sys.stdin.isatty():
        raise NoPasswordError
    password = getpass.getpass("Enter password for private key: ")
    if confirm and getpass.getpass("Enter password for private key again: ") != password:
        raise InvalidParameterError("the passwords are not the same")
    return password.encode()


async def _digests(repository: Repository, reference: Reference, *, recursive: bool) -> list[Digest]:
    top = await repository.manifest(reference.target)
    if not recursive or not isinstance(top.document, Index):
        return [top.digest]
    return [top.digest, *[entry.digest for entry in top.document.manifests]]


def _at_registry(reference: Reference, use: Callable[[Repository], Awaitable[T]], *, insecure: bool, actions: str) -> T:
    async def run() -> T:
        async with repository_of(reference, insecure=insecure, actions=actions) as repository:
            return await use(repository)

    return asyncio.run(run())
