"""``--use-api-socket``: a container that may use the engine, with the user's registry credentials.

Spec: docker run(1), "--use-api-socket".
"""

import io
import json
import tarfile
from typing import Final

import msgspec

from moorage.api import endpoints
from moorage.api.containers import ArchivePutQuery, ContainerCreateRequest
from moorage.api.host_config import HostConfig
from moorage.api.mounts import Mount
from moorage.cli.accounts import all_credentials
from moorage.cli.flag_checks import FlagError
from moorage.cli.session import Session
from moorage.client.calls import call

_SOCKET: Final = "/var/run/docker.sock"
_DIRECTORY: Final = "/run/secrets/docker"
_VARIABLE: Final = "DOCKER_CONFIG"


def with_api_socket(session: Session, request: ContainerCreateRequest) -> ContainerCreateRequest:
    """Return the request with the engine's socket mounted, and its credentials announced.

    Raises:
        FlagError: The engine is not reached by a unix socket.
    """
    path = session.connection.address.path
    if not path:
        raise FlagError("flag --use-api-socket can only be used with unix sockets")
    environment = request.env or []
    if any(text.partition("=")[0] == _VARIABLE for text in environment):
        raise FlagError(f"flag --use-api-socket cannot be combined with the variable {_VARIABLE}")
    host = request.host_config or HostConfig()
    mount = Mount(type="bind", source=path, target=_SOCKET)
    return msgspec.structs.replace(
        request,
        env=[*environment, f"{_VARIABLE}={_DIRECTORY}"] if all_credentials() else request.env,
        host_config=msgspec.structs.replace(host, mounts=[*host.mounts, mount]),
    )


def put_credentials(session: Session, identity: str) -> None:
    """Write the user's registry credentials into a new container, for root alone."""
    credentials = all_credentials()
    if not credentials:
        return
    content = json.dumps({"auths": credentials}).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory in ("run/secrets", "run/secrets/docker"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(entry)
        entry = tarfile.TarInfo("run/secrets/docker/config.json")
        entry.size, entry.mode = len(content), 0o600
        tar.addfile(entry, io.BytesIO(content))
    request = call(endpoints.PUT_CONTAINER_ARCHIVE, path={"id": identity}, query=ArchivePutQuery(path="/"))
    with session.connection.begin(request, body=[archive.getvalue()]) as exchange:
        exchange.checked().body()
