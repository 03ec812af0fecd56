"""The Python SDK of Docker against the daemon: what programs do."""

import gc
from collections.abc import Iterator
from typing import Any

import docker  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.support.daemon import IMAGE, Daemon

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox"),
    pytest.mark.timeout(120),
    # The SDK leaves the sockets of its streams to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def client(moord: Daemon) -> Iterator[Any]:
    made = docker.DockerClient(base_url=f"unix://{moord.socket}")
    yield made
    made.close()
    # Here, where its warnings are expected.
    gc.collect()


def test_run_returns_the_output(client: Any) -> None:
    assert client.containers.run(IMAGE, "echo hello", remove=True) == b"hello\n"


def test_a_failing_command_raises_with_its_output(client: Any) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run(IMAGE, ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"why\n")


def test_a_missing_image_raises(client: Any) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("nosuch")


def test_the_life_of_a_container(client: Any) -> None:
    container = client.containers.run(IMAGE, "sleep 100", detach=True, name="sdk", labels={"k": "v"})
    assert container.status == "created"
    container.reload()
    assert container.status == "running"
    assert client.containers.list(filters={"label": "k=v"}) == [container]
    code, output = container.exec_run(["sh", "-c", "echo in; exit 5"])
    assert (code, output) == (5, b"in\n")
    assert container.top()["Processes"][0][-1] == "sleep 100"
    assert container.stats(stream=False)["pids_stats"]["current"] == 1
    container.pause()
    container.unpause()
    container.kill()
    assert container.wait()["StatusCode"] == 137
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("sdk")


def test_streams_of_an_exec(client: Any) -> None:
    container = client.containers.run(IMAGE, "sleep 100", detach=True)
    _, output = container.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
    assert output == (b"out\n", b"err\n")
    _, connection = container.exec_run("cat", stdin=True, socket=True)
    with connection:
        connection._sock.sendall(b"typed\n")
        assert connection.read(14) == b"\x01\0\0\0\0\0\0\x06typed\n"


def test_logs_while_it_runs(client: Any) -> None:
    container = client.containers.run(IMAGE, ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"], detach=True)
    assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]


def test_events(client: Any) -> None:
    events = client.events(decode=True, filters={"type": "container"})
    container = client.containers.create(IMAGE, name="watched")
    event = next(events)
    assert (event["Action"], event["Actor"]["ID"], event["Actor"]["Attributes"]["name"]) == (
        "create", container.id, "watched",
    )  # fmt: skip
    events.close()
