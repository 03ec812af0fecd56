"""The way to signatures for pulls and pushes: policy and keys are read when they are needed.

So a change of the files counts from the next pull on, and a daemon without a policy does not load what verifies.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.signatures.errors import ImageRefusedError, KeyFileError, PolicyFileError
from moorage.signatures.settings import SignatureSettings, SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.oci.reference import Reference
    from moorage.signatures.keys import PublicKey
    from moorage.signatures.policy import KeySource, Requirement
    from moorage.signatures.signing import Signer
    from moorage.signatures.verifying import Demand, Demands


class SignatureGate:
    """Knows what must be signed, and by whom."""

    def __init__(self, settings: SignatureSettings) -> None:
        self._settings = settings

    def reconfigure(self, settings: SignatureSettings) -> None:
        """Let new work follow other settings."""
        self._settings = settings

    async def demands(self, reference: Reference) -> Demands | None:
        """Return what a pull of `reference` has to verify; None when nothing.

        Raises:
            ImageRefusedError: The policy refuses it, whoever signed it.
            PolicyFileError: The policy can't be used.
            KeyFileError: A key that it names can't be used.
        """
        if reference.digest is not None:
            # What is pulled by digest is known by it alone; a tag beside it is not looked at.
            reference = reference.bare().with_digest(reference.digest)
        return await asyncio.to_thread(self._demands, reference)

    async def signer(self, reference: Reference) -> Signer | None:
        """Return who signs what is pushed to the repository of `reference`; None when nobody does.

        Raises:
            KeyFileError: The key can't be used.
        """
        keys = _in_scope(self._settings.signing, reference) if self._settings.signing else []
        return await asyncio.to_thread(read_signer, keys) if keys else None

    def _demands(self, reference: Reference) -> Demands | None:
        path = self._settings.policy or self._settings.default_policy
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            if self._settings.policy is None:
                return None
            raise PolicyFileError(f"the signature policy {path} is not there") from None
        except OSError as error:
            raise PolicyFileError(f"the signature policy {path} can't be read: {error.strerror}") from error
        return _read_demands(raw, path=path, reference=reference)


def _read_demands(raw: bytes, *, path: Path, reference: Reference) -> Demands | None:
    from moorage.signatures.policy import Accept, parse_policy  # noqa: PLC0415 - only where there is a policy

    try:
        policy = parse_policy(raw)
    except PolicyFileError as error:
        raise PolicyFileError(f"{path}: {error}") from error
    requirements = [one for one in policy.requirements_for(reference) if not isinstance(one, Accept)]
    if not requirements:
        return None
    from moorage.signatures.verifying import Demands  # noqa: PLC0415 - loads the library of cryptography

    return Demands(reference=reference, demands=tuple(_demand(one, reference=reference) for one in requirements))


def _demand(requirement: Requirement, *, reference: Reference) -> Demand:
    from moorage.signatures.policy import Signed, Unsupported  # noqa: PLC0415 - as in the caller
    from moorage.signatures.verifying import Demand  # noqa: PLC0415 - as in the caller

    if isinstance(requirement, Signed):
        return Demand(keys=tuple(_public_key(key) for key in requirement.keys), identity=requirement.identity)
    why = "it rejects all images of this scope"
    if isinstance(requirement, Unsupported):
        why = f"its requirement {requirement.kind} is not supported by Moorage"
    raise ImageRefusedError(f"the signature policy does not allow {reference.familiar}: {why}")


def _public_key(source: KeySource) -> PublicKey:
    from moorage.signatures.keys import read_public_key  # noqa: PLC0415 - loads the library of cryptography

    if source.path:
        return read_public_key(read_key_file(Path(source.path)), source=source.path)
    return read_public_key(source.data, source="the key in the policy")


def _in_scope(keys: Sequence[SigningKey], reference: Reference) -> list[SigningKey]:
    """Return the keys of the narrowest scope that a repository is in."""
    from moorage.signatures.policy import scopes_of  # noqa: PLC0415 - only where something is signed

    for scope in (*scopes_of(reference.bare()), ""):
        if found := [key for key in keys if key.scope == scope]:
            return found
    return []


def read_signer(keys: Sequence[SigningKey]) -> Signer:
    """Read private keys.

    Raises:
        KeyFileError: One can't be used.
    """
    from moorage.signatures.keys import read_private_key  # noqa: PLC0415 - loads the library of cryptography
    from moorage.signatures.signing import Signer  # noqa: PLC0415 - as above

    return Signer(
        keys=tuple(
            read_private_key(read_key_file(key.key), password=_password(key.password_file), source=str(key.key))
            for key in keys
        )
    )


def read_key_file(path: Path) -> bytes:
    """Return the content of a file that holds a key or a password.

    Raises:
        KeyFileError: It can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"the key file {path} can't be read: {error.strerror}") from error


def _password(path: Path | None) -> bytes:
    return read_key_file(path).partition(b"\n")[0].rstrip(b"\r") if path is not None else b""
