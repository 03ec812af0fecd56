"""Who may do what with which repositories: the lines of an access list.

Pure. A line has three words: users, repositories, actions. Rights add up; what no line gives, nobody has.

    alice,bob    team/**            pull,push
    @users       home/{user}/**     *
    @everybody   public/**          pull
    admin        registry:catalog   *
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moorage.errors import InvalidParameterError

EVERYBODY: Final = "@everybody"
"""Whoever reaches the registry, without a password too."""
USERS: Final = "@users"
"""Whoever has a password."""
_ACTIONS: Final = ("pull", "push", "delete")
_CATALOG: Final = "registry:catalog"
_PLACEHOLDER: Final = "{user}"
# A user's name is put into a pattern as one part of a repository's name; what can't be one opens nothing.
_PART: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_PATTERN: Final = re.compile(r"(?:[a-z0-9._/*-]|\{user\})+")
_TOKENS: Final = re.compile(r"\*\*|\*|\{user\}|[^*{]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a client asks a token server for, and what it gets.

    Attributes:
        kind: ``repository`` or ``registry``.
        name: Of the repository; ``catalog`` for the list of all.
        actions: ``pull``, ``push``, ``delete``, or ``*``.
    """

    kind: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of an access list."""

    users: frozenset[str]
    pattern: str
    actions: frozenset[str]

    def is_for(self, user: str) -> bool:
        """Tell whether a user is meant; an empty name is somebody without a password."""
        return EVERYBODY in self.users or (bool(user) and not self.users.isdisjoint({USERS, user}))

    def covers(self, scope: Scope, *, user: str) -> bool:
        """Tell whether a repository, or the catalog, is meant."""
        if scope.kind == "registry" or self.pattern == _CATALOG:
            return f"{scope.kind}:{scope.name}" == self.pattern
        if _PLACEHOLDER in self.pattern and not _PART.fullmatch(user):
            return False
        return scope.kind == "repository" and re.fullmatch(_expression(self.pattern, user), scope.name) is not None


@dataclass(frozen=True, slots=True)
class AccessList:
    """All lines."""

    rules: tuple[Rule, ...]

    def granted(self, scope: Scope, *, user: str) -> Scope:
        """Return what a user gets of what was asked for."""
        has = {action for rule in self.rules if rule.is_for(user) and rule.covers(scope, user=user)
               for action in rule.actions}  # fmt: skip
        asked = {*scope.actions}
        actions: tuple[str, ...] = tuple(action for action in _ACTIONS if action in has and asked & {action, "*"})
        if scope.kind == "registry":
            actions = ("*",) if has and "*" in asked else ()
        return Scope(kind=scope.kind, name=scope.name, actions=actions)


def parse_access_list(text: str) -> AccessList:
    """Read an access list.

    Raises:
        InvalidParameterError: A line is not USERS REPOSITORIES ACTIONS.
    """
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            rules.append(_rule(words))
        except ValueError as error:
            raise InvalidParameterError(f"access list: line {number}: {error}") from None
    return AccessList(tuple(rules))


def parse_scopes(texts: Sequence[str]) -> list[Scope]:
    """Read what a client asks for; what is no scope, or of a kind that is not known here, is left out.

    Spec: distribution's "Token Scope Documentation".
    """
    scopes = []
    for text in (word for each in texts for word in each.split()):
        kind, colon, rest = text.partition(":")
        name, second, actions = rest.rpartition(":")
        # repository(plugin) is a repository as well.
        kind = kind.partition("(")[0]
        if colon and second and kind in {"repository", "registry"}:
            scopes.append(Scope(kind=kind, name=name, actions=tuple(filter(None, actions.split(",")))))
    return scopes


def _rule(words: Sequence[str]) -> Rule:
    if len(words) != 3:
        raise ValueError("USERS REPOSITORIES ACTIONS are needed")
    users, pattern, actions = words[0].split(","), words[1], words[2].split(",")
    if unknown := [user for user in users if not user or (user[0] == "@" and user not in {EVERYBODY, USERS})]:
        raise ValueError(f"unknown users {unknown[0]!r}: {EVERYBODY} and {USERS} are known, and names")
    if pattern != _CATALOG and not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is no pattern of repositories")
    if unknown := [action for action in actions if action not in {*_ACTIONS, "*"}]:
        raise ValueError(f"unknown action {unknown[0]!r}: {', '.join(_ACTIONS)} and * are known")
    return Rule(users=frozenset(users), pattern=pattern, actions=frozenset(_ACTIONS if "*" in actions else actions))


def _expression(pattern: str, user: str) -> str:
    words = {"**": ".*", "*": "[^/]*", _PLACEHOLDER: re.escape(user)}
    return "".join(words.get(token) or re.escape(token) for token in _TOKENS.findall(pattern))
