"""The registry's own token server, under the client of this project and under other people's registry."""

import base64
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import bcrypt
import jwt
import pytest
from cryptography import x509

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.registry.client import RegistryClient
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import LoginRefusedError, RegistryError
from tests.integration.distribution.conftest import Client, digest_of, serving
from tests.support.docker_registry import docker_registry, run

RIGHTS = """
alice       team/**           pull,push
root        **                *
root        registry:catalog  *
@everybody  public/**         pull
"""
PASSWORDS = {"alice": "wonder land", "root": "tr:ee"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def write_passwords(path: Path, passwords: dict[str, str]) -> None:
    lines = [f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}" for user, word in passwords.items()]
    path.write_text("\n".join(lines))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    write_passwords(tmp_path / "htpasswd", PASSWORDS)
    (tmp_path / "rights").write_text(RIGHTS)
    return {"htpasswd": tmp_path / "htpasswd", "access_list": tmp_path / "rights"}


@pytest.fixture
async def client(tmp_path: Path, files: dict[str, Path]) -> AsyncIterator[Client]:
    async with serving(tmp_path / "registry", **files) as made:
        yield made


@pytest.fixture
async def user() -> AsyncIterator[RegistryClient]:
    made = RegistryClient(settings=RegistrySettings(retry_delay=0, attempts=2))
    yield made
    await made.close()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def bearer(client: Client, user: str, *scopes: str) -> dict[str, str]:
    query = urlencode([("service", "registry"), *(("scope", scope) for scope in scopes)])
    client.headers = {}
    headers = basic(user, PASSWORDS[user]) if user else {}
    _, raw = await client.call("GET", f"/token?{query}", headers=headers, status=200)
    return {"Authorization": f"Bearer {json.loads(raw)['token']}"}


async def post(client: Client, status: int, **form: str) -> dict[str, str]:
    _, raw = await client.call("POST", "/token", body=urlencode(form).encode(), headers=FORM, status=status)
    answer: dict[str, str] = json.loads(raw)
    return answer


async def test_challenge_names_the_server_as_the_client_has_reached_it(client: Client) -> None:
    headers, _ = await client.call("GET", "/v2/team/app/tags/list", headers={"Host": "box.example:5000"}, status=401)
    assert headers["www-authenticate"] == (
        'Bearer realm="http://box.example:5000/token",service="registry",scope="repository:team/app:pull"'
    )
    await client.call("GET", "/v2/", headers={"Host": 'a",realm="http://evil'}, status=400)


async def test_rights_are_those_of_the_list(client: Client) -> None:
    client.headers = await bearer(client, "alice", "repository:team/app:pull,push", "repository:other:pull,push")
    digest = await client.push_image("team/app", "1", b"layer")
    _, raw = await client.call("POST", "/v2/other/blobs/uploads/", status=401)
    assert json.loads(raw)["errors"][0]["message"] == "requested access to the resource is denied"
    await client.call("DELETE", f"/v2/team/app/manifests/{digest}", status=401)
    client.headers = await bearer(client, "alice", "registry:catalog:*")
    await client.call("GET", "/v2/_catalog", status=401)
    client.headers = await bearer(client, "root", "registry:catalog:*", "repository:team/app:delete")
    await client.call("GET", "/v2/_catalog", status=200)
    await client.call("DELETE", f"/v2/team/app/manifests/{digest}", status=202)


async def test_who_has_no_password_reads_what_is_public(client: Client) -> None:
    client.headers = await bearer(client, "root", "repository:public/app:pull,push")
    await client.push_image("public/app", "1", b"layer")
    client.headers = await bearer(client, "", "repository:public/app:pull,push", "repository:team/app:pull")
    await client.call("GET", "/v2/public/app/manifests/1", status=200)
    await client.call("POST", "/v2/public/app/blobs/uploads/", status=401)
    await client.call("GET", "/v2/team/app/manifests/1", status=401)


async def test_wrong_passwords_and_services_get_no_token(client: Client) -> None:
    headers, raw = await client.call("GET", "/token", headers=basic("alice", "wrong"), status=401)
    assert headers["www-authenticate"].startswith("Basic ")
    assert json.loads(raw)["errors"] == [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]
    await client.call("GET", "/token?account=root", headers=basic("alice", PASSWORDS["alice"]), status=401)
    await client.call("GET", "/token", headers={"Authorization": "Bearer x"}, status=401)
    await client.call("GET", "/token?service=other", status=400)
    assert (await post(client, 401, grant_type="password", username="alice", password="wrong"))["error"] == (
        "invalid_grant"
    )
    assert (await post(client, 400, grant_type="device_code"))["error"] == "unsupported_grant_type"
    await client.call("POST", "/token", body=b"\xff", headers=FORM, status=400)
    await client.call("POST", "/token", body=b"a=" + b"x" * 100_000, headers=FORM, status=413)


async def test_identity_token_stands_for_the_password_until_that_changes(
    client: Client, files: dict[str, Path]
) -> None:
    given = await post(
        client, 200, grant_type="password", username="alice", password=PASSWORDS["alice"], access_type="offline",
        service="registry", client_id="test", scope="repository:team/app:push",
    )  # fmt: skip
    identity = given["refresh_token"]
    assert (given["scope"], "refresh_token" in await _plain(client)) == ("repository:team/app:push", False)
    again = await post(
        client, 200, grant_type="refresh_token", refresh_token=identity, scope="repository:team/app:pull"
    )
    client.headers = {"Authorization": f"Bearer {again['access_token']}"}
    await client.call("GET", "/v2/team/app/manifests/1", status=404)
    # It is no token with rights, and such a token is no identity.
    await client.call("GET", "/v2/", headers={"Authorization": f"Bearer {identity}"}, status=401)
    await post(client, 401, grant_type="refresh_token", refresh_token=given["access_token"])
    write_passwords(files["htpasswd"], PASSWORDS | {"alice": "another"})
    await post(client, 401, grant_type="refresh_token", refresh_token=identity)


async def _plain(client: Client) -> dict[str, str]:
    return await post(client, 200, grant_type="password", username="alice", password=PASSWORDS["alice"])


async def test_rights_and_users_are_read_again_and_a_broken_file_opens_nothing(
    client: Client, files: dict[str, Path]
) -> None:
    await client.call("GET", "/v2/other/tags/list", headers=await _reading(client, "alice"), status=401)
    files["access_list"].write_text("alice other pull")
    await client.call("GET", "/v2/other/tags/list", headers=await _reading(client, "alice"), status=404)
    files["access_list"].write_text("alice other everything please")
    await client.call("GET", "/token?scope=repository:other:pull", status=500)


async def _reading(client: Client, user: str) -> dict[str, str]:
    return await bearer(client, user, "repository:other:pull")


async def test_keys_outlive_a_restart_and_are_shown(tmp_path: Path, files: dict[str, Path]) -> None:
    async with serving(tmp_path / "registry", **files) as first:
        token = await bearer(first, "root", "registry:catalog:*")
    key = tmp_path / "registry" / "token.key"
    assert key.stat().st_mode & 0o777 == 0o600
    async with serving(tmp_path / "registry", **files) as second:
        await second.call("GET", "/v2/_catalog", headers=token, status=200)
        _, raw = await second.call("GET", "/.well-known/jwks.json", status=200)
        text = token["Authorization"].removeprefix("Bearer ")
        keys = jwt.PyJWKSet.from_json(raw.decode())
        found = keys[jwt.get_unverified_header(text)["kid"]]
        assert "private_numbers" not in dir(found.key)
        claims = jwt.decode(text, found, audience="registry", issuer="moor registry")
        assert (claims["sub"], claims["access"][0]["name"]) == ("root", "catalog")
        certificate = x509.load_pem_x509_certificate(key.with_suffix(".crt").read_bytes())
        assert certificate.public_key() == found.key


async def test_rsa_keys_of_the_administrator_sign(tmp_path: Path, files: dict[str, Path]) -> None:
    key = tmp_path / "rsa.pem"
    await run("openssl", "genrsa", "-out", str(key), "2048")
    async with serving(tmp_path / "registry", token_key=key, **files) as client:
        token = await bearer(client, "root", "registry:catalog:*")
        assert jwt.get_unverified_header(token["Authorization"].split()[1])["alg"] == "RS256"
        await client.call("GET", "/v2/_catalog", headers=token, status=200)


async def test_this_engine_logs_in_and_goes_on_with_the_identity_token(client: Client, user: RegistryClient) -> None:
    domain = f"127.0.0.1:{client.port}"
    password = Credentials(username="alice", password=PASSWORDS["alice"])
    identity = await user.login(domain, credentials=password)
    assert identity
    with pytest.raises(LoginRefusedError, match="incorrect username or password"):
        await user.login(domain, credentials=Credentials(username="alice", password="wrong"))
    held = Credentials(identity_token=identity)
    await _push(user, f"{domain}/team/app", held)
    with pytest.raises(RegistryError, match="requested access to the resource is denied"):
        await _push(user, f"{domain}/other/app", held)
    with pytest.raises(RegistryError, match="requested access to the resource is denied"):
        await _push(user, f"{domain}/team/app", ANONYMOUS)
    with pytest.raises(LoginRefusedError, match="not valid any more"):
        await _push(user, f"{domain}/team/app", Credentials(identity_token=identity[:-8] + "AAAAAAAA"))


async def test_commands_log_in_by_the_identity_token(client: Client, user: RegistryClient, tmp_path: Path) -> None:
    domain = f"127.0.0.1:{client.port}"
    identity = await user.login(domain, credentials=Credentials(username="alice", password=PASSWORDS["alice"]))
    entry = {"auth": base64.b64encode(b"alice:").decode(), "identitytoken": identity}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {domain: entry}}))
    client.headers = await bearer(client, "alice", "repository:team/app:pull,push")
    digest = await client.push_image("team/app", "1", b"layer")
    copy = ("env", f"DOCKER_CONFIG={tmp_path}", "moor", "image", "copy")
    shown = await run(*copy, f"{domain}/team/app:1", f"{domain}/team/other:1")
    assert "mounted from team/app" in shown
    assert digest in shown
    assert "denied" in await run(*copy, f"{domain}/team/app:1", f"{domain}/other/app:1", fails=True)


async def _push(user: RegistryClient, name: str, credentials: Credentials, data: bytes = b"content") -> None:
    repository = await user.connect(parse_reference(name), credentials=credentials)

    async def content(offset: int) -> AsyncIterator[bytes]:
        yield data[offset:]

    await repository.upload(
        Descriptor(media_type="application/octet-stream", digest=Digest(digest_of(data)), size=len(data)), content
    )


async def test_another_of_our_registries_believes_them_by_the_key_set(
    client: Client, user: RegistryClient, tmp_path: Path
) -> None:
    _, keys = await client.call("GET", "/.well-known/jwks.json", status=200)
    (tmp_path / "keys.json").write_bytes(keys)
    settings = {
        "token_realm": f"http://127.0.0.1:{client.port}/token", "token_service": "registry",
        "token_issuer": "moor registry", "token_jwks": tmp_path / "keys.json",
    }  # fmt: skip
    async with serving(tmp_path / "other", **settings) as other:
        held = Credentials(username="alice", password=PASSWORDS["alice"])
        await _push(user, f"127.0.0.1:{other.port}/team/app", held)
        with pytest.raises(RegistryError, match="denied"):
            await _push(user, f"127.0.0.1:{other.port}/other/app", held)


@pytest.mark.needs("docker-registry")
async def test_another_registry_believes_the_tokens_by_their_certificate(
    client: Client, user: RegistryClient, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.crt"
    shutil.copy(tmp_path / "registry" / "token.crt", bundle)
    token = {
        "realm": f"http://127.0.0.1:{client.port}/token", "service": "registry", "issuer": "moor registry",
        "rootcertbundle": str(bundle),
    }  # fmt: skip
    async with docker_registry(tmp_path / "theirs", auth={"token": token}) as host:
        identity = await user.login(host, credentials=Credentials(username="alice", password=PASSWORDS["alice"]))
        await _push(user, f"{host}/team/app", Credentials(identity_token=identity))
        with pytest.raises(RegistryError, match="denied"):
            await _push(user, f"{host}/other/app", Credentials(identity_token=identity))
