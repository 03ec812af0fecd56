"""What Python programs see of containers through docker-py, next to its own test suite."""

import contextlib
import time
from collections.abc import Callable, Iterator

import docker  # type: ignore[import-untyped]  # it has no types
import pytest
from docker.errors import APIError, ImageNotFound, NotFound  # type: ignore[import-untyped]

from tests.support.daemon import Daemon
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


@pytest.fixture
def client(moord: Daemon) -> Iterator[docker.DockerClient]:
    made = docker.DockerClient(base_url=f"unix://{moord.socket}", version="1.41", timeout=stretched(20))
    with contextlib.closing(made):
        yield made


def running(client: docker.DockerClient, **options: object) -> str:
    created = client.api.create_container("busybox", "sleep 60", **options)
    client.api.start(created["Id"])
    return str(created["Id"])


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.status_code, str(caught.value.explanation)


def test_a_variable_without_a_value_is_shown_but_not_set(client: docker.DockerClient) -> None:
    container = running(client, environment={"FOO": None, "EMPTY": "", "PATH": "/bin"})
    assert client.api.inspect_container(container)["Config"]["Env"][:3] == ["FOO", "EMPTY=", "PATH=/bin"]
    made = client.api.exec_create(container, "env")
    lines = client.api.exec_start(made).decode().splitlines()
    assert "EMPTY=" in lines
    assert not any(line.startswith("FOO") for line in lines)


@pytest.mark.parametrize("demux", [False, True])
def test_an_exec_with_a_terminal_is_framed_when_the_start_does_not_mention_it(
    client: docker.DockerClient, demux: bool
) -> None:
    container = running(client)
    made = client.api.exec_create(container, "echo hello", tty=True)
    found = client.api.exec_start(made, demux=demux)
    assert (found[0] if demux else found) == b"hello\r\n"
    raw = client.api.exec_create(container, "echo hello", tty=True)
    assert client.api.exec_start(raw, tty=True) == b"hello\r\n"


def test_mounting_is_no_change(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "touch /made", volumes={"/tmp": {"bind": "/made-for/it"}})
    container.start()
    container.wait()
    assert container.diff() == [
        {"Path": "/made", "Kind": 1},
        {"Path": "/made-for", "Kind": 1},
        {"Path": "/made-for/it", "Kind": 1},
    ]
    _, stat = container.get_archive("/.dockerenv")
    assert stat["name"] == ".dockerenv"


def test_a_container_may_end_while_it_is_committed(client: docker.DockerClient) -> None:
    for delay in (0, 0.005, 0.01, 0.02, 0.04):
        container = client.containers.run("busybox", "sleep 0.01", detach=True)
        time.sleep(delay)
        client.api.remove_image(client.api.commit(container.id)["Id"])
        container.remove(force=True)


def test_a_link_is_a_name(client: docker.DockerClient) -> None:
    client.api.start(client.api.create_container("busybox", "sleep 60", name="target")["Id"])
    host_config = client.api.create_host_config(links={"target": "short"})
    source = running(client, host_config=host_config, name="source")
    assert {"/target", "/source/short"} <= {name for each in client.api.containers() for name in each["Names"]}
    assert client.api.inspect_container("source/short")["Name"] == "/target"
    assert client.api.inspect_container(source)["HostConfig"]["Links"] == ["/target:/source/short"]
    client.api.remove_container("source/short", link=True)
    with pytest.raises(NotFound):
        client.api.inspect_container("source/short")
    assert len(client.api.containers()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"links": {"gone": "x"}}, "could not get container for gone: No such container: gone"),
        ({"volumes_from": ["gone"]}, "No such container: gone"),
        ({"network_mode": "container:gone"}, "No such container: gone"),
        ({"pid_mode": "container:gone"}, "No such container: gone"),
    ],
)
def test_what_a_creation_refers_to_is_no_missing_image(
    client: docker.DockerClient, options: dict[str, object], message: str
) -> None:
    host_config = client.api.create_host_config(**options)
    assert refusal(lambda: client.api.create_container("busybox", "true", host_config=host_config)) == (400, message)
    with pytest.raises(ImageNotFound):
        client.api.create_container("gone", "true")


def test_log_options_without_a_driver(client: docker.DockerClient) -> None:
    host_config = client.api.create_host_config(log_config={"Type": "", "Config": {"max-file": "9"}})
    container = running(client, host_config=host_config)
    shown = client.api.inspect_container(container)["HostConfig"]["LogConfig"]
    assert shown == {"Type": "json-file", "Config": {"max-file": "9"}}


def test_dockers_runtime_is_known_by_its_name(client: docker.DockerClient) -> None:
    container = running(client, runtime="runc")
    assert client.api.inspect_container(container)["HostConfig"]["Runtime"] == "runc"
    assert refusal(lambda: running(client, runtime="gone")) == (400, "unknown or invalid runtime name: gone")


def test_a_node_outside_a_swarm_says_so(client: docker.DockerClient) -> None:
    assert client.swarm.leave(force=True)
    assert refusal(client.api.leave_swarm) == (503, "This node is not part of a swarm")
    status, message = refusal(client.services.list)
    assert (status, message.partition(".")[0]) == (503, "This node is not a swarm manager")


def test_pruning_nothing_lists_nothing(client: docker.DockerClient) -> None:
    assert client.containers.prune() == {"ContainersDeleted": None, "SpaceReclaimed": 0}
    assert client.networks.prune() == {"NetworksDeleted": None}
    assert client.volumes.prune() == {"VolumesDeleted": [], "SpaceReclaimed": 0}
    assert client.images.prune() == {"ImagesDeleted": None, "SpaceReclaimed": 0}


@pytest.mark.parametrize("command", ["true", "sleep 60"])
def test_statistics_end_with_the_container(client: docker.DockerClient, command: str) -> None:
    container = client.containers.run("busybox", command, detach=True)
    samples = container.stats(decode=True)
    next(samples)
    container.remove(force=True)
    begun = time.monotonic()
    assert list(samples) == []
    assert time.monotonic() - begun < 0.8
