"""What is signed, and with what."""

import base64
import json
from typing import Any

import nacl.bindings
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.signatures.claims import Claim, decode_claim, encode_claim
from moorage.signatures.errors import KeyFileError, MalformedSignatureError
from moorage.signatures.finding import bundle_candidate, simple_candidate
from moorage.signatures.keys import PrivateKey, PublicKey, make_key_pair, read_private_key, read_public_key
from moorage.signatures.verifying import Demand, judge
from tests.support.bundles import bundle

DIGEST = Digest("sha256:" + "1" * 64)
OTHER = Digest("sha256:" + "2" * 64)
NAME = parse_reference("h.io/a:1")
# Made by cosign 2.4 with the password "secret".
COSIGN_KEY = b"""-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiIyb1BmbXJFZVB4ZjVNcEpJTGl0eVRsVVpOOEZHVitO
VDNZVWhpeGhMUGlFPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJMbTVOUHZKMXNDWWxLS1l6c1U4dTVHOGk1aFg0Rlc2eSJ9LCJj
aXBoZXJ0ZXh0Ijoid0R5aXh6UEFIVWNvb05PeU1xRUNzN0k3RTFvVFpUOGxGeWxD
L0lsSW1waWpLREZ1bVJIYWRyemo4aXFSMGRnMFQrd1BMUDF5K0ZsUi9kWE9mVkVm
d2o1Q0Q4OTZ4aU1TYUlFY1R4RXlUUGY4cGZ1NW1LN0xQV3FWV1ppemRzSTJ0Zito
UG8yVDlDM3BZWHpvNXU0dXJIdkM5azF3eS9CVU5GYnFRV3RFaXYwUzE4Wm9oNHRw
ejR0UURUOFRnbHJmNWZxRUFDSHZuZVdVSGc9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
COSIGN_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEv5TohVBZyLGJd99iOEwH+f1cN2iU
IOAKM5ExMFfqBW3wVGISgu4jee+nvQUyxJ1j9Lsjp5eELP1tvdBRRWpqOg==
-----END PUBLIC KEY-----
"""


COSIGN_SIGNED = Digest("sha256:41b36c7ebf2bc63586ce43efe18db3fcae7b95a5842e20c144ebbda4a40c813c")
COSIGN_PAYLOAD = (
    b'{"critical":{"identity":{"docker-reference":"127.0.0.1:57463/app"},"image":{"docker-manifest-digest":"%b"},'
    b'"type":"cosign container image signature"},"optional":null}' % COSIGN_SIGNED.encode()
)
COSIGN_SIGNATURE = base64.b64decode(
    "MEYCIQD7qR7xMQTVuNzxuJ+gc0OkAFosqDoBf1okh4a0Hn8ahwIhAJ0EdEk6ztk+be0CvnmXpOcrATlaRRdySh5HtlC9u8Wh"
)


def document(**changes: Any) -> bytes:
    critical = {
        "identity": {"docker-reference": "h.io/a"},
        "image": {"docker-manifest-digest": DIGEST},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical | changes, "optional": None}).encode()


@given(st.text(max_size=30))
def test_claim_survives_its_payload(identity: str) -> None:
    claim = Claim(digest=DIGEST, identity=identity)
    assert decode_claim(encode_claim(claim, creator="x", timestamp=1)) == claim


def test_signature_of_cosign_is_verified() -> None:
    demand = Demand(keys=(read_public_key(COSIGN_PUBLIC, source="k"),), identity=None)
    found = simple_candidate(COSIGN_PAYLOAD, COSIGN_SIGNATURE)
    claim = Claim(digest=COSIGN_SIGNED, identity="127.0.0.1:57463/app")
    assert judge(found, demand=demand, digest=COSIGN_SIGNED, reference=NAME) == claim


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"critical": {}, "optional": {}}',
        document(type="atomic container signature"),
        document(image={"docker-manifest-digest": "sha256:12"}),
        document(image={"docker-manifest-digest": DIGEST, "more": 1}),
        document(identity={"docker-reference": 3}),
        document()[:-1] + b', "optional": 1}',
        document().replace(b'"optional": null', b'"more": null'),
    ],
)
def test_payload_that_is_not_plain_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedSignatureError):
        decode_claim(raw)


def plain(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["p256", "p384", "rsa", "ed25519"],
)
def test_keys_of_each_kind_sign_and_verify(key: Any) -> None:
    private = read_private_key(plain(key), password=b"", source="k")
    public = read_public_key(private.public.pem(), source="p")
    signature = private.sign(b"text")
    assert public.verifies(signature, b"text")
    assert not public.verifies(signature, b"test")
    assert not public.verifies(b"", b"text")


def test_prehashed_signature_of_an_ed25519_key_is_verified() -> None:
    seed = b"s" * 32
    public = PublicKey(key=ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key(), source="k")
    state = nacl.bindings.crypto_sign_ed25519ph_state()
    nacl.bindings.crypto_sign_ed25519ph_update(state, b"text")
    secret = nacl.bindings.crypto_sign_seed_keypair(seed)[1]
    signature = nacl.bindings.crypto_sign_ed25519ph_final_create(state, secret)
    assert public.verifies(signature, b"text")
    assert not public.verifies(signature, b"test")


def test_key_of_cosign_is_opened_by_its_password() -> None:
    private = read_private_key(COSIGN_KEY, password=b"secret", source="k")
    assert private.public.pem() == COSIGN_PUBLIC
    with pytest.raises(KeyFileError, match="password"):
        read_private_key(COSIGN_KEY, password=b"wrong", source="k")


def test_new_key_is_opened_by_its_password_only() -> None:
    closed, public = make_key_pair(password=b"pw")
    assert closed.startswith(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    assert read_private_key(closed, password=b"pw", source="k").public.pem() == public
    with pytest.raises(KeyFileError, match="password"):
        read_private_key(closed, password=b"", source="k")


def test_costs_that_are_not_on_the_list_are_refused() -> None:
    lines = COSIGN_KEY.splitlines()
    box = base64.b64decode(b"".join(lines[1:-1])).replace(b"65536", b"1073741824")
    pem = b"\n".join([lines[0], base64.b64encode(box), lines[-1], b""])
    with pytest.raises(KeyFileError, match="parameters"):
        read_private_key(pem, password=b"secret", source="k")


@pytest.mark.parametrize("pem", [b"", b"text", COSIGN_PUBLIC])
def test_other_files_are_no_private_keys(pem: bytes) -> None:
    with pytest.raises(KeyFileError, match="the-file"):
        read_private_key(pem, password=b"", source="the-file")


def test_short_rsa_keys_are_refused() -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    with pytest.raises(KeyFileError, match="too short"):
        read_private_key(plain(key), password=b"", source="k")


KEY = PrivateKey(key=ec.generate_private_key(ec.SECP256R1()), source="k")
STRANGER = PrivateKey(key=ec.generate_private_key(ec.SECP256R1()), source="s")
DEMAND = Demand(keys=(KEY.public,), identity=None)


def test_signature_counts_for_its_manifest_and_key_alone() -> None:
    payload = encode_claim(Claim(digest=DIGEST, identity=NAME.canonical), creator="x", timestamp=1)
    good = simple_candidate(payload, KEY.sign(payload))
    assert judge(good, demand=DEMAND, digest=DIGEST, reference=NAME) == Claim(digest=DIGEST, identity="h.io/a:1")
    assert judge(good, demand=DEMAND, digest=OTHER, reference=NAME) == f"a signature is for {DIGEST}, not for {OTHER}"
    foreign = simple_candidate(payload, STRANGER.sign(payload))
    assert judge(foreign, demand=DEMAND, digest=DIGEST, reference=NAME) == "a signature was not made with k"


def test_bundle_is_verified_over_its_typed_payload() -> None:
    verdict = judge(bundle_candidate(bundle(DIGEST, key=KEY)), demand=DEMAND, digest=DIGEST, reference=NAME)
    assert verdict == Claim(digest=DIGEST, identity="")
    foreign = judge(bundle_candidate(bundle(DIGEST, key=STRANGER)), demand=DEMAND, digest=DIGEST, reference=NAME)
    assert foreign == "a signature was not made with k"


def test_statement_about_something_else_signs_no_image() -> None:
    verdict = judge(
        bundle_candidate(bundle(DIGEST, key=KEY, predicate="spdx")), demand=DEMAND, digest=DIGEST, reference=NAME
    )
    assert verdict == "a statement of the kind 'spdx' signs no image"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"dsseEnvelope": {"payloadType": 1}}'])
def test_broken_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedSignatureError):
        bundle_candidate(raw)
