"""A probe for each flag of the commands on images, networks, volumes and the engine."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tests.compatibility.container_commands import container
from tests.compatibility.probing import Bench, Probe, expect
from tests.compatibility.run_flags import NETWORK, TARGET
from tests.support.daemon import IMAGE, busybox_archive

#: The daemon listens here too, with these certificates.
TLS_ADDRESS: Final = "127.0.0.1:12376"
CERTIFICATES: Final = Path(__file__).parents[1] / "unit" / "server" / "certificates"


def _named(command: str, *flags: str) -> list[str]:
    return [command, *(f"{command} {flag}" for flag in flags)]


def _history(bench: Bench) -> None:
    identity = bench.inspect(IMAGE, "{{.Id}}")
    assert bench.out("history", "-q", "--no-trunc", IMAGE) == identity
    assert bench.out("history", "--platform", "linux", "--format", "{{.ID}}", IMAGE) == identity[7:19]
    expect(r"^\d{5,}", bench.out("history", "-H=false", "--format", "{{.Size}}", IMAGE))


def _import(bench: Bench) -> None:
    flags = ("-c", "CMD true", "-m", "why", "--platform", "linux")
    bench.docker("import", *flags, str(busybox_archive()), "imported:1")
    assert bench.inspect("imported:1", "{{.Config.Cmd}} {{.Comment}} {{.Os}}").endswith("why linux")
    bench.docker("rmi", "imported:1")


def _image_inspect(bench: Bench) -> None:
    expect(f"{IMAGE}:latest", bench.out("image", "inspect", "-f", "{{.RepoTags}}", IMAGE))
    assert bench.out("image", "inspect", "--platform", "linux", "-f", "{{.Os}}", IMAGE) == "linux"


def _save_and_load(bench: Bench) -> None:
    path = str(bench.files / "saved.tar")
    bench.docker("tag", IMAGE, "saved:1")
    bench.docker("save", "-o", path, "--platform", "linux", "saved:1")
    bench.docker("rmi", "saved:1")
    expect("Loaded image: saved:1", bench.out("load", "-i", path))
    bench.docker("rmi", "saved:1")
    bench.docker("load", "-q", "--platform", "linux", "-i", path)
    bench.docker("rmi", "saved:1")


def _images(bench: Bench) -> None:
    identity = bench.inspect(IMAGE, "{{.Id}}")
    only = ("--filter", f"reference={IMAGE}")
    assert bench.out("images", "-q", *only) == identity[7:19]
    assert bench.out("images", "-a", "-q", "--no-trunc", *only) == identity
    assert bench.out("images", "--format", "{{.Repository}}:{{.Tag}}", *only) == f"{IMAGE}:latest"
    expect("DIGEST", bench.out("images", "--digests", *only))


def _tree(bench: Bench) -> None:
    expect(IMAGE, bench.out("images", "--tree", "--filter", f"reference={IMAGE}"))


def _tag_and_rmi(bench: Bench) -> None:
    bench.docker("tag", IMAGE, "tagged:1")
    bench.docker("tag", IMAGE, "tagged:2")
    expect("Untagged: tagged:1", bench.out("rmi", "--no-prune", "tagged:1"))
    expect("Untagged: tagged:2", bench.out("rmi", "-f", "tagged:2"))


def _rmi_platform(bench: Bench) -> None:
    bench.docker("import", "--platform", "linux/arm64", "-c", "CMD other", str(busybox_archive()), "tagged:3")
    bench.docker("rmi", "--platform", "linux/amd64", "tagged:3", fails=True)
    expect("Deleted|Untagged", bench.out("rmi", "--platform", "linux/arm64", "tagged:3"))


def _push_and_pull(bench: Bench) -> None:
    name = f"{bench.registry}/carried"
    for tag in ("1", "2"):
        bench.docker("tag", IMAGE, f"{name}:{tag}")
    expect("1: digest: sha256:", bench.out("push", f"{name}:1"))
    expect(f"{name}:2", bench.out("push", "-q", "--platform", "linux", f"{name}:2"))
    bench.docker("push", "-a", name)
    bench.docker("rmi", f"{name}:1", f"{name}:2")
    assert bench.out("pull", "-q", "--platform", "linux", f"{name}:1") == f"{name}:1"
    bench.docker("pull", "-a", name)
    assert len(bench.out("images", "-q", name).split()) == 2
    bench.docker("rmi", f"{name}:1", f"{name}:2")


def _login(bench: Bench) -> None:
    expect("Login Succeeded", bench.out("login", "-u", "me", "-p", "secret", bench.registry))
    expect("Login Succeeded", bench.out("login", "-u", "me", "--password-stdin", bench.registry, data="secret\n"))
    expect("Removing login credentials", bench.out("logout", bench.registry))


def _inspect(bench: Bench) -> None:
    assert bench.out("inspect", "--type", "network", "-f", "{{.Name}}", NETWORK) == NETWORK
    expect(r"^\d+$", bench.out("inspect", "-s", "-f", "{{.SizeRootFs}}", TARGET))


def _network(bench: Bench) -> None:
    created = bench.out(
        "network", "create", "--attachable", "--internal", "--driver", "bridge", "--gateway", "10.79.0.1", "--ip-range",
        "10.79.0.0/25", "--subnet", "10.79.0.0/24", "--aux-address", "other=10.79.0.2", "--ipam-driver", "default",
        "--ipam-opt", "a=b", "--ipv4", "--ipv6", "--label", "net=probe", "-o", "com.docker.network.driver.mtu=1400",
        "--scope", "local", "made",
    )  # fmt: skip
    (shown,) = json.loads(bench.out("network", "inspect", "made"))
    assert (shown["Id"], shown["Attachable"], shown["Internal"], shown["EnableIPv6"], shown["Scope"]) == (
        created, True, True, True, "local",
    )  # fmt: skip
    pool = shown["IPAM"]["Config"][0]
    assert (pool["Subnet"], pool["IPRange"], pool["Gateway"], pool["AuxiliaryAddresses"]) == (
        "10.79.0.0/24", "10.79.0.0/25", "10.79.0.1", {"other": "10.79.0.2"},
    )  # fmt: skip
    assert shown["Options"]["com.docker.network.driver.mtu"] == "1400"
    assert bench.out("network", "ls", "-q", "--no-trunc", "--filter", "label=net=probe") == created
    assert bench.out("network", "ls", "--format", "{{.Name}}", "--filter", "name=^made$") == "made"
    assert bench.out("network", "inspect", "-v", "-f", "{{.Name}}", "made") == "made"
    assert bench.out("network", "rm", "made") == "made"
    bench.docker("network", "rm", "-f", "made")


def _network_refused(bench: Bench, *, flags: tuple[str, ...], text: str) -> None:
    expect(text, bench.docker("network", "create", *flags, "refused", fails=True).stderr)


def _connect(bench: Bench) -> None:
    with container(bench) as name:
        bench.docker(
            "network", "connect", "--alias", "known", "--ip", "10.77.0.60", "--ip6", "fd77::60", "--gw-priority", "3",
            "--driver-opt", "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1",
            "--link", f"{TARGET}:linked", "--link-local-ip", "169.254.9.9", NETWORK, name,
        )  # fmt: skip
        networks = json.loads(bench.inspect(name, "{{json .NetworkSettings.Networks}}"))
        joined = networks[NETWORK]
        assert (joined["IPAddress"], joined["GlobalIPv6Address"], joined["GwPriority"]) == ("10.77.0.60", "fd77::60", 3)
        assert (joined["Aliases"], joined["Links"]) == (["known"], [f"{TARGET}:linked"])
        assert bench.out("exec", name, "cat", "/proc/sys/net/ipv4/conf/eth1/log_martians") == "1"
        expect(r"169\.254\.9\.9", bench.out("exec", name, "ip", "addr"))
        bench.docker("network", "disconnect", "-f", NETWORK, name)
        assert NETWORK not in json.loads(bench.inspect(name, "{{json .NetworkSettings.Networks}}"))


def _network_prune(bench: Bench) -> None:
    bench.docker("network", "create", "--label", "prune=net", "unused")
    expect("unused", bench.out("network", "prune", "-f", "--filter", "label=prune=net"))


def _volume(bench: Bench) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m")
    assert bench.out("volume", "create", "-d", "local", "--label", "vol=probe", *options, "made") == "made"
    assert bench.out("run", "--rm", "-v", "made:/m", IMAGE, "grep", "-c", "tmpfs /m ", "/proc/mounts") == "1"
    assert bench.out("volume", "inspect", "-f", "{{.Labels.vol}}", "made") == "probe"
    assert bench.out("volume", "ls", "-q", "--filter", "label=vol=probe") == "made"
    assert bench.out("volume", "ls", "--format", "{{.Driver}}", "--filter", "name=^made$") == "local"
    assert bench.out("volume", "rm", "made") == "made"
    bench.docker("volume", "rm", "-f", "made")


def _volume_prune(bench: Bench) -> None:
    bench.docker("volume", "create", "--label", "prune=vol", "unused")
    assert "unused" not in bench.out("volume", "prune", "-f", "--filter", "label=prune=vol")
    expect("unused", bench.out("volume", "prune", "-a", "-f", "--filter", "label=prune=vol"))


def _cluster_volumes(bench: Bench, *, flags: tuple[str, ...]) -> None:
    bench.docker("volume", *flags, fails=True)


def _no_cluster_volumes(bench: Bench) -> None:
    assert len(bench.out("volume", "ls", "--cluster").splitlines()) == 1


def _system(bench: Bench) -> None:
    assert json.loads(bench.out("info", "-f", "json"))["ServerVersion"].startswith("29.")
    assert json.loads(bench.out("version", "-f", "json"))["Server"]["Os"] == "linux"
    expect("Images space usage", bench.out("system", "df", "-v"))
    expect("Containers", bench.out("system", "df", "--format", "{{.Type}}"))


def _events(bench: Bench) -> None:
    since = f"{time.time():.6f}"
    bench.docker("run", "--rm", "--label", "event=probe", IMAGE, "true")
    words = ("--since", since, "--until", f"{time.time() + 0.01:.6f}", "--filter", "label=event=probe")
    found = bench.out("events", *words, "--format", "{{.Action}}").split()
    assert found == ["create", "attach", "start", "die", "destroy"], found


def _dial(bench: Bench) -> None:
    request = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    expect("200 OK", bench.out("system", "dial-stdio", data=request))


def _globals(bench: Bench) -> None:
    socket = f"unix://{bench.daemon.socket}"
    bench.docker("--config", str(bench.files), "-D", "-l", "warn", "-H", socket, "ps")
    bench.docker("context", "create", "probe", "--docker", f"host={socket}")
    bench.docker("-c", "probe", "ps")
    bench.docker("context", "rm", "-f", "probe")


def _tls(bench: Bench) -> None:
    flags = (
        "--tlscacert", str(CERTIFICATES / "authority.pem"), "--tlscert", str(CERTIFICATES / "client.pem"),
        "--tlskey", str(CERTIFICATES / "client.key"), "-H", f"tcp://{TLS_ADDRESS}",
    )  # fmt: skip
    for verify in ("--tls", "--tlsverify"):
        text = bench.daemon.in_network("docker", verify, *flags, "version", "-f", "{{.Server.Os}}")
        assert text.strip() == "linux"


def _system_prune(bench: Bench) -> None:
    """The last probe: it removes what others left."""
    bench.docker("create", "--label", "prune=system", "--name", "left", IMAGE)
    flags = ("-a", "-f", "--volumes", "--filter", "label=prune=system")
    expect("Total reclaimed space", bench.out("system", "prune", *flags))
    bench.docker("inspect", "left", fails=True)


def _image_prune(bench: Bench) -> None:
    bench.docker("import", "-c", "LABEL prune=image", str(busybox_archive()), "unused:1")
    expect("unused:1", bench.out("image", "prune", "-a", "-f", "--filter", "label=prune=image"))


def probes() -> Iterator[tuple[list[str], Probe]]:
    """Yield the probes that others do not disturb."""
    yield from _image_probes()
    yield from _network_probes()
    yield from _volume_probes()
    yield from _engine_probes()


def _image_probes() -> Iterator[tuple[list[str], Probe]]:
    yield _named("image history", "--format", "--human", "--no-trunc", "--platform", "--quiet"), _history
    yield _named("image import", "--change", "--message", "--platform"), _import
    yield _named("image inspect", "--format", "--platform"), _image_inspect
    saved = _named("image save", "--output", "--platform")
    yield [*saved, *_named("image load", "--input", "--platform", "--quiet")], _save_and_load
    yield _named("image ls", "--all", "--digests", "--filter", "--format", "--no-trunc", "--quiet"), _images
    yield ["image ls --tree"], _tree
    yield [*_named("image tag"), *_named("image rm", "--force", "--no-prune")], _tag_and_rmi
    yield ["image rm --platform"], _rmi_platform
    pushed = _named("image push", "--all-tags", "--platform", "--quiet")
    yield [*pushed, *_named("image pull", "--all-tags", "--platform", "--quiet")], _push_and_pull
    yield _named("image prune", "--all", "--filter", "--force"), _image_prune


def _engine_probes() -> Iterator[tuple[list[str], Probe]]:
    yield [*_named("login", "--password", "--password-stdin", "--username"), "logout"], _login
    yield _named("inspect", "--format", "--size", "--type"), _inspect
    yield [*_named("system df", "--format", "--verbose"), *_named("system info", "--format")], _system
    yield _named("version", "--format"), _system
    yield _named("system events", "--filter", "--format", "--since", "--until"), _events
    yield ["system dial-stdio"], _dial
    yield _named("docker", "--config", "--context", "--debug", "--host", "--log-level"), _globals
    yield [f"docker {flag}" for flag in ("--tls", "--tlscacert", "--tlscert", "--tlskey", "--tlsverify")], _tls


def _network_probes() -> Iterator[tuple[list[str], Probe]]:
    created = (
        "--attachable", "--aux-address", "--driver", "--gateway", "--internal", "--ip-range", "--ipam-driver",
        "--ipam-opt", "--ipv4", "--ipv6", "--label", "--opt", "--scope", "--subnet",
    )  # fmt: skip
    shown = _named("network inspect", "--format", "--verbose")
    listed = _named("network ls", "--filter", "--format", "--no-trunc", "--quiet")
    yield [*_named("network create", *created), *shown, *listed, *_named("network rm", "--force")], _network
    for flag, flags in (
        ("--config-from", ("--config-from", "nosuch")),
        ("--config-only", ("--config-only",)),
        ("--ingress", ("--ingress",)),
    ):
        yield [f"network create {flag}"], partial(_network_refused, flags=flags, text="not supported|swarm|config")
    joined = ("--alias", "--driver-opt", "--gw-priority", "--ip", "--ip6", "--link", "--link-local-ip")
    yield [*_named("network connect", *joined), *_named("network disconnect", "--force")], _connect
    yield _named("network prune", "--filter", "--force"), _network_prune


def _volume_probes() -> Iterator[tuple[list[str], Probe]]:
    volumes = _named("volume create", "--driver", "--label", "--opt")
    listing = _named("volume ls", "--filter", "--format", "--quiet")
    yield [*volumes, *listing, *_named("volume inspect", "--format"), *_named("volume rm", "--force")], _volume
    yield _named("volume prune", "--all", "--filter", "--force"), _volume_prune
    for flag, value in (
        ("--availability", "active"), ("--group", "g"), ("--limit-bytes", "1m"), ("--required-bytes", "1m"),
        ("--scope", "single"), ("--secret", "a=b"), ("--sharing", "none"), ("--topology-preferred", "a=b"),
        ("--topology-required", "a=b"), ("--type", "mount"),
    ):  # fmt: skip
        yield (
            [f"volume create {flag}"],
            partial(_cluster_volumes, flags=("create", "--group", "g", flag, value, "cluster")),
        )
    update = ("update", "--availability", "active", "cluster")
    yield _named("volume update", "--availability"), partial(_cluster_volumes, flags=update)
    yield ["volume ls --cluster"], _no_cluster_volumes


def last_probes() -> Iterator[tuple[list[str], Probe]]:
    """Yield what must run alone, at the end."""
    yield _named("system prune", "--all", "--filter", "--force", "--volumes"), _system_prune
