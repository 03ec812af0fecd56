"""Everything is killed in the middle of a pull, a load or a commit: the next daemon's store is clean, and goes on."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(180)]

NAME = "127.0.0.1:5000/app"
#: Seconds after which everything is killed; what is under way then differs from run to run.
MOMENTS = (0.05, 0.15, 0.3)
OPERATIONS = {
    "pull": ("pull", "-q", NAME),
    "load": ("load", "-q", "-i", "app.tar"),
    "commit": ("commit", "--pause=false", "source", "made"),
}


@pytest.fixture
def stocked() -> Iterator[Daemon]:
    """A daemon with a registry and an archive that have an image, and a container with much to commit."""
    with daemon() as made:
        made.start()
        made.load_busybox()
        fill = "dd if=/dev/urandom of=/big bs=1M count=24 && mkdir many && cd many && touch $(seq 2000)"
        made.docker("run", "--name", "source", "busybox", "sh", "-c", fill)
        made.docker("commit", "source", NAME)
        made.docker("save", "-o", str(made.base / "app.tar"), NAME)
        command = [sys.executable, "-m", "moorage.distribution", "serve", "--storage", str(made.base / "registry")]
        with subprocess.Popen([*made.entering(), *command], stderr=subprocess.DEVNULL) as registry:
            try:
                wait_until(lambda: ":1388 " in made.in_network("cat", "/proc/net/tcp"), what="the registry")
                made.docker("push", "-q", NAME)
                made.docker("rmi", NAME)
                yield made
            finally:
                registry.kill()


def findings(own: Daemon) -> list[str]:
    return own.api("POST", "/system/check").splitlines()[:-1]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_store_is_clean_after_a_crash(stocked: Daemon, operation: str) -> None:
    words = [word.replace("app.tar", str(stocked.base / "app.tar")) for word in OPERATIONS[operation]]
    for moment in MOMENTS:
        client = stocked.popen(*words)
        time.sleep(moment)
        stocked.reboot()
        client.wait()
        stocked.start()
        # The daemon collects what was cut off while it serves already.
        wait_until(lambda: not findings(stocked), what="a clean store", log=stocked.log)
    stocked.docker(*words)
    assert findings(stocked) == []
    image = "made" if operation == "commit" else NAME
    assert int(stocked.docker("run", "--rm", image, "stat", "-c", "%s", "/big")) == 24 << 20
