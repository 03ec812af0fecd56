"""Bearer tokens: another server says who may do what, and signs it.

Spec: distribution's "Token Authentication Specification" and "Docker Registry v2 Bearer token"; RFC 6750, RFC 7519.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from moorage.distribution.access.control import Action
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.routes import Resource, Route
from moorage.errors import InvalidParameterError

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")
TOKEN_PATH: Final = "/token"  # noqa: S105 - a path
# It is repeated in a header between quotes.
_HOST: Final = re.compile(r"[A-Za-z0-9.:_\[\]-]+")
_LEEWAY: Final = 60
"""Seconds that the clocks of the two servers may differ."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """The server whose tokens count.

    Attributes:
        realm: URL at which clients get tokens; empty for the token server in this process, by whatever name the
            client has reached it.
        service: The name of this registry there: the tokens' audience.
        issuer: Who must have issued them.
        keys: Any of these may have signed.
        roots: Certificates that may have signed the certificate in a token's header; without any, that counts for
            nothing.
    """

    realm: str
    service: str
    issuer: str
    keys: tuple[PublicKey, ...]
    roots: tuple[x509.Certificate, ...] = ()


def read_issuer(
    *, realm: str, service: str, issuer: str, bundle: Path | None = None, jwks: Path | None = None
) -> TokenIssuer:
    """Read what tokens are checked with.

    Args:
        bundle: File of certificates, PEM.
        jwks: File of a JSON web key set.

    Raises:
        InvalidParameterError: A file has none.
    """
    certificates = _read_certificates(bundle) if bundle is not None else ()
    keys = [each.public_key() for each in certificates] + (_read_key_set(jwks) if jwks is not None else [])
    usable = tuple(key for key in keys if isinstance(key, PublicKey))
    return TokenIssuer(realm=realm, service=service, issuer=issuer, keys=usable, roots=certificates)


def _read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except ValueError as error:
        raise InvalidParameterError(f"{path}: no certificate for tokens in it: {error}") from error


def _read_key_set(path: Path) -> list[Any]:
    try:
        return [key.key for key in jwt.PyJWKSet.from_json(path.read_text(encoding="utf-8")).keys]
    except (ValueError, jwt.PyJWTError) as error:
        raise InvalidParameterError(f"{path}: no key set: {error}") from error


class TokenAccess:
    """Access by tokens."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def check(self, request: web.Request, route: Route, action: Action) -> None:
        """Ask for a token that grants the action, and pulling from the source of a mount."""
        wanted = _scopes(request, route, action)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._challenge(request, wanted)
        try:
            granted = granted_scopes(token.strip(), self._issuer)
        except (jwt.InvalidTokenError, InvalidSignature, ValueError) as error:
            raise self._challenge(request, wanted, fault="invalid_token") from error
        if missing := wanted - granted:
            raise self._challenge(request, wanted, fault="insufficient_scope", missing=missing)

    def _challenge(
        self,
        request: web.Request,
        wanted: set[tuple[str, str, str]],
        *,
        fault: str = "",
        missing: set[tuple[str, str, str]] | None = None,
    ) -> RegistryRefusal:
        realm = self._issuer.realm or _own_realm(request)
        parts = [f'realm="{realm}"', f'service="{self._issuer.service}"']
        by_name: dict[tuple[str, str], list[str]] = {}
        for kind, name, action in sorted(wanted):
            by_name.setdefault((kind, name), []).append(action)
        if by_name:
            scopes = " ".join(f"{kind}:{name}:{','.join(actions)}" for (kind, name), actions in by_name.items())
            parts.append(f'scope="{scopes}"')
        if fault:
            parts.append(f'error="{fault}"')
        detail = [{"Type": kind, "Name": name, "Action": action} for kind, name, action in sorted(missing or wanted)]
        message = "requested access to the resource is denied" if missing else "authentication required"
        # Clients get another token on a 401 only, so that is the answer to too narrow a one as well.
        headers = {"WWW-Authenticate": "Bearer " + ",".join(parts)}
        return RegistryRefusal("UNAUTHORIZED", message, detail=detail, headers=headers)


def _own_realm(request: web.Request) -> str:
    if not _HOST.fullmatch(request.host):
        raise RegistryRefusal("UNSUPPORTED", "invalid host", status=400)
    return f"{request.scheme}://{request.host}{TOKEN_PATH}"


def granted_scopes(token: str, issuer: TokenIssuer) -> set[tuple[str, str, str]]:
    """Verify a token; return type, name and action of everything it grants.

    Raises:
        jwt.InvalidTokenError: It is malformed, expired, for somebody else, or signed by somebody else.
    """
    failure: Exception = jwt.InvalidSignatureError("no key fits")
    for key in _keys(token, issuer):
        try:
            claims = jwt.decode(
                token, key, algorithms=list(_ALGORITHMS), audience=issuer.service, issuer=issuer.issuer,
                leeway=_LEEWAY, options={"require": ["exp", "iss", "aud"]},
            )  # fmt: skip
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.InvalidAlgorithmError) as error:
            failure = error
            continue
        except TypeError as error:
            # A key of another kind than the algorithm.
            failure = jwt.InvalidKeyError(str(error))
            continue
        return {scope for entry in claims.get("access") or () for scope in _entry_scopes(entry)}
    raise failure


def _keys(token: str, issuer: TokenIssuer) -> list[PublicKey]:
    chain = jwt.get_unverified_header(token).get("x5c")
    if not chain or not issuer.roots:
        return list(issuer.keys)
    leaf = x509.load_der_x509_certificate(jwt.utils.base64url_decode(str(chain[0]).replace("+", "-").replace("/", "_")))
    key = leaf.public_key()
    if not isinstance(key, PublicKey) or not any(_signed_by(leaf, root) for root in issuer.roots):
        raise jwt.InvalidSignatureError("the token's certificate is not signed by a trusted one")
    return [key]


def _signed_by(leaf: x509.Certificate, root: x509.Certificate) -> bool:
    if leaf == root:
        return True
    try:
        leaf.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _entry_scopes(entry: Any) -> set[tuple[str, str, str]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("actions"), list):
        return set()
    kind, name = str(entry.get("type", "")), str(entry.get("name", ""))
    actions = {str(action) for action in entry["actions"]}
    if "*" in actions:
        actions |= {"pull", "push", "delete"}
    return {(kind, name, action) for action in actions}


def _scopes(request: web.Request, route: Route, action: Action) -> set[tuple[str, str, str]]:
    if route.resource is Resource.BASE:
        return set()
    if action is Action.CATALOG:
        return {("registry", "catalog", "*")}
    scopes = {("repository", route.repository, action.value)}
    if action is Action.PUSH:
        scopes.add(("repository", route.repository, "pull"))
        if source := request.query.get("from"):
            scopes.add(("repository", source, "pull"))
    return scopes
