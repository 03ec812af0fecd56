"""Where the server listens."""

import socket
import stat
from pathlib import Path

import pytest

from moorage.server.application import Application
from moorage.server.listener import SocketInUseError, UnsupportedAddressError, listen
from moorage.server.router import Router


def application() -> Application:
    return Application(Router(), product="Docker/1.2.3")


async def test_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = await listen(f"unix://{path}", application())
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    await listener.close(grace=0)
    assert not path.exists()


async def test_socket_of_a_dead_daemon_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    listener = await listen(f"unix://{path}", application())
    await listener.close(grace=0)


async def test_socket_of_a_living_daemon_is_left_alone(tmp_path: Path) -> None:
    address = f"unix://{tmp_path / 's'}"
    listener = await listen(address, application())
    with pytest.raises(SocketInUseError):
        await listen(address, application())
    await listener.close(grace=0)


async def test_other_files_are_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        await listen(f"unix://{path}", application())
    assert path.read_text() == "precious"


@pytest.mark.parametrize("address", ["", "fd://", "http://x", "unix://", "/path"])
async def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UnsupportedAddressError):
        await listen(address, application())
