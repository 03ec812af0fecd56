"""hosts, resolv.conf and hostname."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.networks import names
from moorage.networks.errors import InvalidAttachmentError
from moorage.networks.names import Resolver

HOST = """# generated
domain old.example
nameserver 127.0.0.53
nameserver 10.0.0.53 # the office
nameserver fd00::53
search office.example lab.example
options edns0 trust-ad
"""


def test_a_hosts_file_is_localhost_and_the_entries() -> None:
    content = names.hosts_file([("172.17.0.2", "web")], ipv6=True)
    assert content == (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n"
        "172.17.0.2\tweb\n"
    )
    assert "::" not in names.hosts_file([], ipv6=False)


def test_a_hostname_with_a_domain_has_its_short_form_too() -> None:
    assert names.own_names("web.example", "") == "web.example web"
    assert names.own_names("web", "example") == "web.example web"
    assert names.own_names("web", "") == "web"


def test_extra_hosts_may_mean_the_host_and_may_be_ipv6() -> None:
    written = ["a:10.0.0.1", "b:host-gateway", "c:fd00::1", "d:[fd00::2]"]
    assert names.extra_hosts(written, gateways=["172.17.0.1", "fd00::9"]) == [
        ("10.0.0.1", "a"),
        ("172.17.0.1", "b"),
        ("fd00::9", "b"),
        ("fd00::1", "c"),
        ("fd00::2", "d"),
    ]
    for wrong in ("a", ":10.0.0.1"):
        with pytest.raises(InvalidAttachmentError, match="bad format for add-host"):
            names.extra_hosts([wrong], gateways=[])
    with pytest.raises(InvalidAttachmentError, match='invalid IP address in add-host: "nowhere"'):
        names.extra_hosts(["a:nowhere"], gateways=[])
    with pytest.raises(InvalidAttachmentError, match="unable to derive the IP value for host-gateway"):
        names.extra_hosts(["a:host-gateway"], gateways=[])


def test_the_hosts_settings_are_read_as_the_c_library_reads_them() -> None:
    assert names.read_resolver(HOST) == Resolver(
        servers=("127.0.0.53", "10.0.0.53", "fd00::53"),
        search=("office.example", "lab.example"),
        options=("edns0", "trust-ad"),
    )


@given(st.text(max_size=200))
def test_any_file_can_be_read_and_what_was_read_is_written_the_same(content: str) -> None:
    read = names.read_resolver(content)
    assert names.read_resolver(names.resolver_file(read)) == read


def test_servers_on_the_hosts_localhost_are_of_no_use_elsewhere() -> None:
    host = names.read_resolver(HOST)
    assert names.reachable(host, ipv6=False).servers == ("10.0.0.53",)
    assert names.reachable(host, ipv6=True).servers == ("10.0.0.53", "fd00::53")
    assert names.reachable(Resolver(servers=("127.0.0.1", "::1")), ipv6=False).servers == ("8.8.8.8", "8.8.4.4")


def test_a_stub_resolver_is_replaced_by_what_it_asks() -> None:
    assert names.host_resolver_path("nameserver 127.0.0.53\n") == "/run/systemd/resolve/resolv.conf"
    assert names.host_resolver_path(HOST) == "/etc/resolv.conf"


def test_a_user_overrides_each_setting_by_itself() -> None:
    host = names.read_resolver(HOST)
    changed = names.overridden(host, servers=["9.9.9.9"], search=["."], options=[])
    assert changed == Resolver(servers=("9.9.9.9",), search=(), options=host.options)


def test_an_embedded_resolver_is_asked_names_without_dots_first() -> None:
    assert names.embedded(Resolver(), server="127.0.0.11").options == ("ndots:0",)
    assert names.embedded(Resolver(options=("ndots:2",)), server="127.0.0.11").options == ("ndots:2",)


def test_an_endpoint_answers_to_each_of_its_names_once() -> None:
    known = names.dns_names("web", container_id="0123456789abcdef", hostname="0123456789ab", aliases=["www", "web"])
    assert known == ("web", "www", "0123456789ab")


def test_lines_of_an_address_can_be_taken_out_of_a_file_that_a_user_edited() -> None:
    content = names.appended("127.0.0.1 localhost\n10.0.0.1\tmine", [("172.18.0.2", "web")])
    assert content == "127.0.0.1 localhost\n10.0.0.1\tmine\n172.18.0.2\tweb\n"
    assert names.without_address(content, ["172.18.0.2"]) == "127.0.0.1 localhost\n10.0.0.1\tmine\n"


@pytest.mark.parametrize(
    ("link", "expected"), [("db", ("db", "db")), ("db:sql", ("db", "sql")), ("/db:/web/sql", ("db", "sql"))]
)
def test_a_link_names_a_container_and_an_alias(link: str, expected: tuple[str, str]) -> None:
    assert names.link_names(link) == expected
