"""Private keys under a password, as cosign writes them.

Spec: go-securesystemslib, package encrypted: scrypt makes a key of the password, NaCl's secretbox takes the text.
"""

import hashlib
import os
from typing import Annotated, Final

import msgspec
import nacl.exceptions
import nacl.secret

from moorage.signatures.errors import KeyFileError

_KEY_SIZE: Final = 32
_SALT_SIZE: Final = 32
# Older readers know no stronger setting; all readers refuse what is not on their list.
_WRITTEN_COST: Final = 1 << 15
_COSTS: Final = frozenset({1 << 15, 1 << 16, 1 << 17})


class _Cost(msgspec.Struct, frozen=True, kw_only=True):
    n: Annotated[int, msgspec.Meta(ge=2)] = msgspec.field(name="N")
    r: int
    p: int


class _Derivation(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    params: _Cost
    salt: bytes


class _Cipher(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    nonce: bytes


class _Box(msgspec.Struct, frozen=True, kw_only=True):
    kdf: _Derivation
    cipher: _Cipher
    ciphertext: bytes


def opened(raw: bytes, *, password: bytes) -> bytes:
    """Return what was closed under a password.

    Raises:
        KeyFileError: It is of another form, or the password is wrong.
    """
    try:
        box = msgspec.json.decode(raw, type=_Box)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the encrypted key is malformed: {error}") from error
    cost = box.kdf.params
    known = (box.kdf.name, box.cipher.name, cost.r, cost.p) == ("scrypt", "nacl/secretbox", 8, 1)
    if not known or cost.n not in _COSTS or len(box.cipher.nonce) != nacl.secret.SecretBox.NONCE_SIZE:
        raise KeyFileError("the encrypted key has parameters that are not supported")
    key = _derived(password, salt=box.kdf.salt, cost=cost.n)
    try:
        return bytes(nacl.secret.SecretBox(key).decrypt(box.ciphertext, box.cipher.nonce))
    except nacl.exceptions.CryptoError:
        raise KeyFileError("the password of the key is wrong") from None


def closed(text: bytes, *, password: bytes) -> bytes:
    """Close a text under a password."""
    salt = os.urandom(_SALT_SIZE)
    box = nacl.secret.SecretBox(_derived(password, salt=salt, cost=_WRITTEN_COST)).encrypt(text)
    return msgspec.json.encode(
        _Box(
            kdf=_Derivation(name="scrypt", params=_Cost(n=_WRITTEN_COST, r=8, p=1), salt=salt),
            cipher=_Cipher(name="nacl/secretbox", nonce=box.nonce),
            ciphertext=box.ciphertext,
        )
    )


def _derived(password: bytes, *, salt: bytes, cost: int) -> bytes:
    # What scrypt needs is 128 * r * n bytes, and a little.
    return hashlib.scrypt(password, salt=salt, n=cost, r=8, p=1, maxmem=1024 * cost + (1 << 20), dklen=_KEY_SIZE)
