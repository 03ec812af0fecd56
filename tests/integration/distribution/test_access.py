"""Who may do what: passwords, tokens, TLS."""

import base64
import datetime as dt
import time
from pathlib import Path

import bcrypt
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from moorage.errors import InvalidParameterError
from tests.integration.distribution.conftest import serving

PASSWORD = "correct horse"


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "htpasswd"
    path.write_text(f"user:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    return path


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    junk, missing = tmp_path / "junk.pem", tmp_path / "missing.pem"
    junk.write_text("no certificate")
    with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
        async with serving(tmp_path, tls_cert=junk, tls_key=missing):
            pass
    with pytest.raises(InvalidParameterError, match=r"junk\.pem are no certificate with its key"):
        async with serving(tmp_path, tls_cert=junk, tls_key=junk):
            pass


async def test_passwords_open_and_their_lack_is_told(tmp_path: Path, passwords: Path) -> None:
    async with serving(tmp_path / "r", htpasswd=passwords, realm="here") as client:
        headers, _ = await client.call("GET", "/v2/", status=401)
        assert headers["www-authenticate"] == 'Basic realm="here"'
        for user, password in (("user", "wrong"), ("nobody", PASSWORD), ("user", PASSWORD + "x" * 100)):
            await client.call("GET", "/v2/", headers=basic(user, password), status=401)
        client.headers = basic("user", PASSWORD)
        await client.call("GET", "/v2/", status=200)
        await client.push_image("a/b", "x", b"layer")


async def test_a_changed_file_counts_at_once(tmp_path: Path, passwords: Path) -> None:
    async with serving(tmp_path / "r", htpasswd=passwords) as client:
        await client.call("GET", "/v2/", headers=basic("user", PASSWORD), status=200)
        passwords.write_text("# nobody any more\n")
        await client.call("GET", "/v2/", headers=basic("user", PASSWORD), status=401)


async def test_everybody_may_read_where_that_is_wanted(tmp_path: Path, passwords: Path) -> None:
    async with serving(tmp_path / "r", htpasswd=passwords, anonymous_pull=True) as client:
        client.headers = basic("user", PASSWORD)
        await client.push_image("a/b", "x", b"layer")
        client.headers = {}
        await client.call("GET", "/v2/a/b/manifests/x", status=200)
        await client.call("GET", "/v2/", status=401)
        await client.call("POST", "/v2/a/b/blobs/uploads/", status=401)
        await client.call("GET", "/v2/a/b/manifests/x", headers=basic("user", "wrong"), status=401)


class TokenServer:
    """Signs tokens as a token server does."""

    def __init__(self, directory: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(1).not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1)).sign(self.key, hashes.SHA256())
        )  # fmt: skip
        self.certificate = certificate
        self.bundle = directory / "bundle.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def token(self, *access: tuple[str, list[str]], x5c: bool = False, **claims: object) -> dict[str, str]:
        payload: dict[str, object] = {
            "iss": "issuer", "aud": "registry", "exp": time.time() + 60,
            "access": [{"type": "repository", "name": name, "actions": actions} for name, actions in access],
        }  # fmt: skip
        der = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        signed = jwt.encode(payload | claims, self.key, algorithm="ES256", headers={"x5c": [der]} if x5c else None)
        return {"Authorization": f"Bearer {signed}"}

    @property
    def settings(self) -> dict[str, object]:
        return {
            "token_realm": "http://127.0.0.1:1/token", "token_service": "registry", "token_issuer": "issuer",
            "token_bundle": self.bundle,
        }  # fmt: skip


@pytest.mark.parametrize("x5c", [False, True])
async def test_tokens_grant_what_they_say(tmp_path: Path, x5c: bool) -> None:
    server = TokenServer(tmp_path)
    async with serving(tmp_path / "r", **server.settings) as client:
        headers, _ = await client.call("GET", "/v2/a/b/manifests/x", status=401)
        assert headers["www-authenticate"] == (
            'Bearer realm="http://127.0.0.1:1/token",service="registry",scope="repository:a/b:pull"'
        )
        await client.call("GET", "/v2/", headers=server.token(x5c=x5c), status=200)
        client.headers = server.token(("a/b", ["pull", "push"]), x5c=x5c)
        digest = await client.push_image("a/b", "x", b"layer")
        await client.call("GET", "/v2/a/b/manifests/x", status=200)
        headers, _ = await client.call("DELETE", f"/v2/a/b/manifests/{digest}", status=401)
        assert 'error="insufficient_scope"' in headers["www-authenticate"]
        await client.call("GET", "/v2/other/tags/list", status=401)
        await client.call("GET", "/v2/_catalog", status=401)
        client.headers = server.token(("a/b", ["*"]), x5c=x5c)
        await client.call("DELETE", f"/v2/a/b/manifests/{digest}", status=202)


async def test_tokens_of_somebody_else_or_for_somebody_else_grant_nothing(tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    server, stranger = TokenServer(tmp_path), TokenServer(tmp_path / "stranger")
    wrong = [
        stranger.token(), stranger.token(x5c=True), server.token(aud="another"), server.token(iss="another"),
        server.token(exp=time.time() - 600), {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer " + jwt.encode({"iss": "issuer", "aud": "registry"}, "k" * 32, algorithm="HS256")},
    ]  # fmt: skip
    async with serving(tmp_path / "r", **server.settings) as client:
        for headers in wrong:
            answer, _ = await client.call("GET", "/v2/", headers=headers, status=401)
            assert 'error="invalid_token"' in answer["www-authenticate"]
