"""The policy file, its scopes, and which names may stand in a signature."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci.reference import Reference, parse_reference
from moorage.signatures.errors import PolicyFileError
from moorage.signatures.policy import Accept, KeySource, Policy, Reject, Signed, Unsupported, parse_policy, scopes_of

DIGEST = "sha256:" + "1" * 64
ACCEPT = {"type": "insecureAcceptAnything"}
REJECT = {"type": "reject"}


def policy(default: list[Any] | None = None, **scopes: list[Any]) -> Policy:
    transports = {"docker": {name.replace("__", "/"): value for name, value in scopes.items()}}
    return parse_policy(json.dumps({"default": default or [REJECT], "transports": transports}).encode())


def signed(**fields: Any) -> dict[str, Any]:
    return {
        "type": "sigstoreSigned",
        **({} if fields.keys() & {"keyData", "keyPaths"} else {"keyPath": "/k"}),
        **fields,
    }


def accepts(identity: dict[str, str], image: str, text: str) -> bool:
    (requirement,) = policy([signed(signedIdentity=identity)]).default
    assert isinstance(requirement, Signed)
    return requirement.identity.accepts(parse_reference(image), signed=text)


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        (
            "alpine:3",
            ["docker.io/library/alpine:3", "docker.io/library/alpine", "docker.io/library", "docker.io", "*.io"],
        ),
        (
            "a.b.example.com:5000/x/y:1",
            [
                "a.b.example.com:5000/x/y:1", "a.b.example.com:5000/x/y", "a.b.example.com:5000/x",
                "a.b.example.com:5000", "*.b.example.com", "*.example.com", "*.com",
            ],
        ),
        (
            f"localhost/x:1@{DIGEST}",
            [f"localhost/x@{DIGEST}", "localhost/x", "localhost"],
        ),
    ],
)  # fmt: skip
def test_scopes_go_from_the_image_to_its_domain(name: str, scopes: list[str]) -> None:
    assert list(scopes_of(parse_reference(name))) == scopes


def test_narrowest_scope_alone_counts() -> None:
    rules = policy(localhost=[ACCEPT], localhost__team=[signed()])
    assert rules.requirements_for(parse_reference("localhost/other/a:1")) == (Accept(),)
    (requirement,) = rules.requirements_for(parse_reference("localhost/team/a:1"))
    assert isinstance(requirement, Signed)
    assert requirement.keys == (KeySource(path="/k"),)
    assert rules.requirements_for(parse_reference("quay.io/a:1")) == (Reject(),)
    # A scope is whole components: no prefix of a name.
    assert rules.requirements_for(parse_reference("localhost/teams/a:1")) == (Accept(),)


def test_empty_scope_is_the_default_of_registries() -> None:
    rules = parse_policy(json.dumps({"default": [REJECT], "transports": {"docker": {"": [ACCEPT]}}}).encode())
    assert rules.requirements_for(parse_reference("a:1")) == (Accept(),)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True), min_size=1, max_size=4), st.booleans())
def test_every_scope_but_wildcards_is_a_prefix_of_the_name(parts: list[str], tagged: bool) -> None:
    reference = Reference(domain="h.example:5000", path="/".join(parts), tag="t" if tagged else None)
    scopes = [scope for scope in scopes_of(reference) if not scope.startswith("*")]
    assert all(reference.canonical.startswith(scope) for scope in scopes)
    assert scopes == sorted(scopes, key=len, reverse=True)
    assert scopes[-1] == "h.example:5000"


def test_signatures_of_other_kinds_are_known_but_fulfilled_by_nothing() -> None:
    requirements = [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/gpg"},
        {"type": "sigstoreSigned", "fulcio": {}, "rekorPublicKeyPath": "/r"},
        signed(rekorPublicKeyPath="/r"),
    ]
    kinds = [one.kind for one in policy(requirements).default if isinstance(one, Unsupported)]
    assert kinds == ["signedBy", "sigstoreSigned with fulcio", "sigstoreSigned with rekorPublicKeyPath"]


def test_keys_are_in_files_or_in_the_policy() -> None:
    (several,) = policy([signed(keyPaths=["/a", "/b"])]).default
    (inline,) = policy([signed(keyData=base64.b64encode(b"pem").decode())]).default
    assert isinstance(several, Signed)
    assert isinstance(inline, Signed)
    assert several.keys == (KeySource(path="/a"), KeySource(path="/b"))
    assert inline.keys == (KeySource(data=b"pem"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", '"default" is missing'),
        ("[]", "an object"),
        ("{", "Expecting"),
        ('{"default": []}', "at least one requirement"),
        ('{"default": [{"type": "reject"}], "default": [{"type": "reject"}]}', '"default" is there twice'),
        ('{"default": [{"type": "reject"}], "more": 1}', '"more" is not known'),
        ('{"default": [{"type": "reject", "why": 1}]}', '"why" is not known'),
        ('{"default": [{"type": "trust"}]}', "unknown requirement type 'trust'"),
        ('{"default": [{"type": "sigstoreSigned"}]}', "exactly one of keyPath"),
        ('{"default": [{"type": "sigstoreSigned", "keyPath": "a", "keyData": "Yg=="}]}', "exactly one of keyPath"),
        ('{"default": [{"type": "sigstoreSigned", "keyPath": 1}]}', '"keyPath" must be a string'),
        ('{"default": [{"type": "sigstoreSigned", "keyPaths": []}]}', "at least one string"),
        ('{"default": [{"type": "sigstoreSigned", "keyData": "%"}]}', "no base64"),
    ],
)
def test_what_is_not_understood_to_the_letter_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PolicyFileError, match=reason):
        parse_policy(text.encode())


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.sampled_from(["reject", "sigstoreSigned"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["default", "transports", "docker", "type", "keyPath"]), inner, max_size=3),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_text_is_a_policy_or_refused(raw: bytes) -> None:
    with contextlib.suppress(PolicyFileError):
        assert parse_policy(raw).default


@pytest.mark.parametrize(
    ("identity", "image", "text", "fits"),
    [
        ({"type": "matchExact"}, "h.io/a:1", "h.io/a:1", True),
        ({"type": "matchExact"}, "h.io/a:1", "h.io/a:2", False),
        ({"type": "matchExact"}, f"h.io/a@{DIGEST}", "h.io/a:1", False),
        ({"type": "matchRepoDigestOrExact"}, "alpine:3", "docker.io/library/alpine:3", True),
        ({"type": "matchRepoDigestOrExact"}, "h.io/a:1", "h.io/a:2", False),
        ({"type": "matchRepoDigestOrExact"}, "h.io/a:1", "h.io/a", False),
        ({"type": "matchRepoDigestOrExact"}, f"h.io/a@{DIGEST}", "h.io/a:7", True),
        ({"type": "matchRepoDigestOrExact"}, f"h.io/a@{DIGEST}", "h.io/a", False),
        ({"type": "matchRepoDigestOrExact"}, f"h.io/a@{DIGEST}", "h.io/b:7", False),
        ({"type": "matchRepository"}, "h.io/a:1", "h.io/a", True),
        ({"type": "matchRepository"}, "h.io/a:1", "h.io/a:9", True),
        ({"type": "matchRepository"}, "h.io/a:1", "h.io/b:1", False),
        ({"type": "matchRepository"}, "h.io/a:1", "", False),
        ({"type": "matchAny"}, "h.io/a:1", "", True),
        ({"type": "exactReference", "dockerReference": "v.io/x:1"}, "h.io/a:1", "v.io/x:1", True),
        ({"type": "exactReference", "dockerReference": "v.io/x:1"}, "h.io/a:1", "h.io/a:1", False),
        ({"type": "exactRepository", "dockerRepository": "v.io/x"}, "h.io/a:1", "v.io/x:5", True),
        ({"type": "exactRepository", "dockerRepository": "v.io/x"}, "h.io/a:1", "v.io/y:5", False),
        ({"type": "remapIdentity", "prefix": "m.io/v", "signedPrefix": "v.io"}, "m.io/v/p/a:1", "v.io/p/a:1", True),
        ({"type": "remapIdentity", "prefix": "m.io/v", "signedPrefix": "v.io"}, "m.io/v/p/a:1", "m.io/v/p/a:1", False),
        ({"type": "remapIdentity", "prefix": "m.io/v", "signedPrefix": "v.io"}, "m.io/vv/a:1", "m.io/vv/a:1", True),
        ({"type": "remapIdentity", "prefix": "m.io", "signedPrefix": "v.io/m"}, "m.io/a:1", "v.io/m/a:1", True),
    ],
)
def test_name_in_a_signature_must_fit(identity: dict[str, str], image: str, text: str, fits: bool) -> None:
    assert accepts(identity, image, text) is fits


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "matchAll"},
        {"type": "matchRepository", "more": "x"},
        {"type": "exactReference", "dockerReference": "h.io/a"},
        {"type": "exactRepository", "dockerRepository": "h.io/a:1"},
        {"type": "remapIdentity", "prefix": "busybox", "signedPrefix": "v.io"},
    ],
)
def test_unclear_identity_is_refused(identity: dict[str, str]) -> None:
    with pytest.raises(PolicyFileError):
        policy([signed(signedIdentity=identity)])
