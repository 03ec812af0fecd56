"""What the daemon's configuration says about signatures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DEFAULT_POLICY: Final = Path("/etc/moorage/policy.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that signs what is pushed.

    Attributes:
        scope: A registry, or a repository or namespace in one, in its full form; empty means everything.
        key: File of the private key.
        password_file: File whose first line opens the key.
    """

    scope: str
    key: Path
    password_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """What the daemon verifies and signs.

    Attributes:
        policy: The policy file; None takes the default one, if it is there.
        signing: Keys by scope.
    """

    policy: Path | None = None
    default_policy: Path = DEFAULT_POLICY
    signing: Sequence[SigningKey] = ()


def read_signing_keys(value: Any) -> tuple[SigningKey, ...]:
    """Read the key ``signing`` of daemon.json.

    Raises:
        ValueError: It is of another form.
    """
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise ValueError("a list of objects with scope and key is needed")
    return tuple(_signing_key(entry) for entry in value)


def _signing_key(entry: Mapping[str, Any]) -> SigningKey:
    if not {"scope", "key"} <= entry.keys() <= {"scope", "key", "password-file"}:
        raise ValueError("an entry has scope and key, and may have password-file")
    if not all(isinstance(text, str) for text in entry.values()):
        raise ValueError("scope, key and password-file must be strings")
    password = entry.get("password-file")
    return SigningKey(scope=entry["scope"], key=Path(entry["key"]), password_file=Path(password) if password else None)
