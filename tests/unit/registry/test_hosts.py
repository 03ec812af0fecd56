"""Files that say where a registry's content is fetched from."""

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.registry.endpoints import Endpoint, RegistrySettings, Trust, endpoints_for
from moorage.registry.guard import is_own_address
from moorage.registry.hosts import Host, Hosts, InvalidHostsError, parse_hosts
from moorage.registry.retrying import parse_retry_after
from moorage.registry.tls import read_hosts

DIRECTORY = Path("/etc/certs.d/quay.test")
FILE = """
server = "https://quay.test"

[host."https://mirror.test/cache"]
  capabilities = ["pull"]
  ca = "ca.pem"
  client = [["client.cert", "client.key"], "/both.pem"]
  override_path = true
  [host."https://mirror.test/cache".header]
    x-cache = ["a", "b"]
[host."http://near.test"]
  capabilities = ["pull", "resolve", "push"]
[host."far.test"]
  skip_verify = true
"""


def test_a_file_is_read_in_order() -> None:
    hosts = parse_hosts(FILE, directory=DIRECTORY)
    assert hosts.server == Host(url="https://quay.test")
    first, second, third = hosts.hosts
    assert first == Host(
        url="https://mirror.test/cache", capabilities=frozenset({"pull"}), authorities=(f"{DIRECTORY}/ca.pem",),
        certificates=((f"{DIRECTORY}/client.cert", f"{DIRECTORY}/client.key"), ("/both.pem", "/both.pem")),
        headers=(("x-cache", "a"), ("x-cache", "b")), override_path=True,
    )  # fmt: skip
    assert (second.url, third.url, third.skip_verify) == ("http://near.test", "https://far.test", True)


async def lookup(_host: str) -> list[str]:
    return ["192.0.2.1"]


async def test_its_hosts_are_asked_before_the_registry() -> None:
    hosts = parse_hosts(FILE, directory=DIRECTORY)
    found = await endpoints_for("quay.test", settings=RegistrySettings(), lookup=lookup, hosts=hosts)
    assert [(one.url, one.mirror, one.resolves, one.pushes) for one in found] == [
        ("https://mirror.test/cache", True, False, False),
        ("http://near.test", True, True, True),
        ("https://far.test", True, True, True),
        ("https://quay.test", False, True, True),
    ]
    assert (found[0].api, found[1].api) == ("https://mirror.test/cache", "http://near.test/v2")
    assert [one.trust.verify for one in found] == [True, False, False, True]


async def test_without_a_server_the_registry_has_the_last_word_itself() -> None:
    hosts = Hosts(hosts=(Host(url="https://mirror.test"),))
    found = await endpoints_for("quay.test", settings=RegistrySettings(), lookup=lookup, hosts=hosts)
    assert found[-1] == Endpoint(url="https://quay.test", trust=Trust())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("server = 5", '"server" must be text'),
        ("server = 'ftp://x'", "is no URL"),
        ("host = 5", "must be a table"),
        ("[host.'https://x']\nfoo = 1", "unknown key foo"),
        ("[host.'https://x']\ncapabilities = ['fly']", "unknown capability fly"),
        ("[host.'https://x']\nskip_verify = 'yes'", "must be true or false"),
        ("[host.'https://x']\nclient = [['a', 'b', 'c']]", "must name a certificate"),
        ("skip_verify = true", 'only with "server"'),
        ("[", "hosts.toml"),
    ],
)
def test_what_cannot_be_understood_is_told(text: str, complaint: str) -> None:
    with pytest.raises(InvalidHostsError, match=complaint):
        parse_hosts(text, directory=DIRECTORY)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_hosts(text, directory=DIRECTORY)
    except InvalidHostsError as error:
        assert "hosts.toml" in str(error)  # noqa: PT017 - whether it raises is not the point


def test_a_registry_without_a_file_has_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.registry.tls.CERTIFICATE_DIRECTORIES", (tmp_path,))
    assert read_hosts("quay.test:5000") is None
    (tmp_path / "_default").mkdir()
    (tmp_path / "_default" / "hosts.toml").write_text('[host."https://all.test"]')
    assert read_hosts("quay.test:5000") == Hosts(hosts=(Host(url="https://all.test"),))
    (tmp_path / "quay.test:5000").mkdir()
    (tmp_path / "quay.test:5000" / "hosts.toml").write_text('[host."https://own.test"]')
    assert read_hosts("quay.test:5000") == Hosts(hosts=(Host(url="https://own.test"),))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::"]
)
def test_addresses_of_this_machine(address: str) -> None:
    assert is_own_address(address)


@pytest.mark.parametrize("text", ["10.0.0.1", "192.0.2.1", "2001:db8::1", "localhost", "", "registry.test"])
def test_other_addresses_and_names(text: str) -> None:
    assert not is_own_address(text)


@pytest.mark.parametrize(("header", "seconds"), [(None, None), ("", None), ("soon", None), ("7", 7.0), ("-1", None)])
def test_wishes_of_a_registry(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


def test_a_wish_may_be_a_date() -> None:
    found = parse_retry_after(formatdate(time.time() + 60, usegmt=True))
    assert found is not None
    assert 50 < found <= 60
    assert parse_retry_after(formatdate(time.time() - 60, usegmt=True)) == 0
