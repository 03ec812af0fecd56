"""Flags whose loss the table of compatibility has brought to light."""

import pytest

from tests.support.daemon import IMAGE, CommandError, Daemon

pytestmark = pytest.mark.needs("root", "overlay", "docker-cli", "busybox")


def test_sysctls_of_an_interface_that_a_running_container_gets(moord: Daemon) -> None:
    moord.docker("network", "create", "side")
    try:
        moord.docker("run", "-d", "--name", "box", IMAGE, "sleep", "100")
        option = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"
        moord.docker("network", "connect", "--driver-opt", option, "side", "box")
        files = [f"/proc/sys/net/ipv4/conf/{name}/log_martians" for name in ("eth0", "eth1")]
        assert moord.docker("exec", "box", "cat", *files).split() == ["0", "1"]
    finally:
        moord.docker("rm", "-f", "box")
        moord.docker("network", "rm", "side")


def test_volumes_of_a_cluster_are_refused(moord: Daemon) -> None:
    with pytest.raises(CommandError, match="This node is not a swarm manager"):
        moord.docker("volume", "create", "--group", "g", "--sharing", "all", "cluster")
    assert moord.docker("volume", "ls", "-q", "--filter", "name=cluster") == ""


def test_names_of_volumes_are_found_by_pattern(moord: Daemon) -> None:
    for name in ("one", "one-more"):
        moord.docker("volume", "create", name)
    assert moord.docker("volume", "ls", "-q", "--filter", "name=^one$") == "one"
    assert moord.docker("volume", "ls", "-q", "--filter", "name=one").split() == ["one", "one-more"]
    moord.docker("volume", "rm", "one", "one-more")


def test_a_prune_of_everything_may_have_a_label(moord: Daemon) -> None:
    moord.docker("create", "--label", "old=yes", "--name", "box", IMAGE)
    assert "Total reclaimed space" in moord.docker("system", "prune", "-f", "--filter", "label=old=yes")
    assert moord.docker("ps", "-aq") == ""
