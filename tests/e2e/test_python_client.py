"""``import moorage`` against a real daemon, blocking and asynchronous."""

import asyncio
import contextlib
import signal
import subprocess
import sys

import pytest

import moorage
from moorage.client.errors import ContainerFailedError
from moorage.errors import InvalidParameterError, NotFoundError
from tests.support.daemon import IMAGE, Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def test_the_blocking_client(moord: Daemon) -> None:
    with moorage.connect(f"unix://{moord.socket}") as engine:
        assert engine.run("busybox", ["echo", "hello"]) == b"hello\n"
        with pytest.raises(ContainerFailedError) as failure:
            engine.run("busybox", ["sh", "-c", "echo out; exit 3"])
        assert (failure.value.exit_code, failure.value.output) == (3, b"out\n")
        assert engine.containers(all=True) == []
        container = engine.start("busybox", ["sh", "-c", "echo up; sleep 100"], environment={"A": "b"})
        result = container.exec(["sh", "-c", "echo $A; echo err >&2; exit 4"])
        assert (result.exit_code, result.stdout, result.stderr) == (4, b"b\n", b"err\n")
        assert container.logs() == b"up\n"
        assert [each.id for each in engine.containers()] == [container.id]
        container.stop(grace=0)
        assert container.wait() == 137
        assert list(container.follow()) == [b"up\n"]
        container.remove()
        with pytest.raises(NotFoundError, match="No such container"):
            container.inspect()


def test_images_and_volumes(moord: Daemon) -> None:
    with moorage.connect(f"unix://{moord.socket}") as engine:
        assert any("busybox:latest" in (image.repo_tags or ()) for image in engine.images.list())
        volume = engine.volumes.create("kept", labels={"a": "b"})
        engine.run("busybox", ["sh", "-c", "echo x > /data/f"], volumes={"kept": "/data"})
        assert engine.run("busybox", ["cat", "/data/f"], volumes={"kept": "/data"}) == b"x\n"
        assert volume.name in [each.name for each in engine.volumes.list()]
        engine.volumes.remove("kept")
        assert "kept" not in [each.name for each in engine.volumes.list()]


async def test_the_asynchronous_client(moord: Daemon) -> None:
    async with moorage.connect_async(f"unix://{moord.socket}") as engine:
        assert await engine.run("busybox", ["echo", "hello"]) == b"hello\n"
        container = await engine.start("busybox", ["sh", "-c", "echo up; sleep 100"])
        result = await container.exec(["echo", "in"])
        assert (result.exit_code, result.stdout) == (0, b"in\n")
        await container.stop(grace=0)
        assert await container.wait() == 137
        assert [chunk async for chunk in container.follow()] == [b"up\n"]
        await container.remove()
        with pytest.raises(NotFoundError):
            await container.inspect()


def test_a_command_may_be_a_string(moord: Daemon) -> None:
    with moorage.connect(f"unix://{moord.socket}") as engine:
        assert engine.run(IMAGE, "echo 'two words' $HOME") == b"two words $HOME\n"
        container = engine.start(IMAGE, "sleep 100", name="texts")
        assert container.exec("id -u", user="1000").stdout == b"1000\n"
        assert repr(container) == f"<Container {container.id[:12]}>"
        with pytest.raises(InvalidParameterError, match="No closing quotation"):
            container.exec("echo 'open")
        container.kill("USR1")
        container.kill()
        assert container.wait() == 137


def test_an_interrupted_run_leaves_nothing(moord: Daemon) -> None:
    program = f"""
import signal, moorage
# Whoever starts the tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
moorage.connect("unix://{moord.socket}").run({IMAGE!r}, "sleep 1000")
"""
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as user:
        wait_until(lambda: moord.docker("ps", "-q") != "", what="the container to run")
        user.send_signal(signal.SIGINT)
        _, complaints = user.communicate()
    assert complaints.strip().endswith("KeyboardInterrupt")
    assert "ignored" not in complaints
    assert moord.docker("ps", "-aq") == ""


async def test_a_cancelled_run_leaves_nothing(moord: Daemon) -> None:
    async with moorage.connect_async(f"unix://{moord.socket}") as engine:
        task = asyncio.create_task(engine.run(IMAGE, "sleep 1000"))
        while not await engine.containers():  # noqa: ASYNC110 - the engine has no event for us to wait on
            await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert await engine.containers(all=True) == []
