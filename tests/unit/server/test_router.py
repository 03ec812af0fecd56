"""Which operation a path means."""

from types import NoneType

import pytest

from moorage.api import endpoints
from moorage.api.endpoint import Endpoint, NoBody
from moorage.api.query import NoQuery
from moorage.server.router import Router, UnknownEndpointError


@pytest.mark.parametrize(
    ("method", "path", "operation", "parameters"),
    [
        ("GET", "/containers/json", "ContainerList", {}),
        ("GET", "/v1.41/containers/json", "ContainerList", {}),
        ("GET", "/containers/json/json", "ContainerInspect", {"id": "json"}),
        ("DELETE", "/containers/x", "ContainerDelete", {"id": "x"}),
        ("GET", "/containers/x/attach/ws", "ContainerAttachWebsocket", {"id": "x"}),
        ("GET", "/images/localhost:5000/a/b/json", "ImageInspect", {"name": "localhost:5000/a/b"}),
        ("POST", "/images/a/b/push", "ImagePush", {"name": "a/b"}),
        ("DELETE", "/images/a/b/json", "ImageDelete", {"name": "a/b/json"}),
        ("GET", "/images/get", "ImageGetAll", {}),
        ("GET", "/images/a/get", "ImageGet", {"name": "a"}),
        ("GET", "/networks/", "NetworkList", {}),
        ("DELETE", "/containers/a/checkpoints/b", "CheckpointDelete", {"id": "a", "checkpoint": "b"}),
    ],
)
def test_paths_find_their_operation(method: str, path: str, operation: str, parameters: dict[str, str]) -> None:
    match = Router().match(method, path)
    assert match is not None
    assert (match.route.endpoint.operation, match.parameters) == (operation, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/nothing"),
        ("PUT", "/containers/json"),
        ("GET", "/containers//json"),
        ("GET", "/v1.41"),
        ("GET", "/vx/info"),
        ("GET", "/1.41/info"),
        ("POST", "/exec/x"),
    ],
)
def test_other_paths_find_nothing(method: str, path: str) -> None:
    assert Router().match(method, path) is None


def test_version_is_cut_from_the_path() -> None:
    match = Router().match("GET", "/v1.30/info")
    assert match is not None
    assert match.version == "1.30"


def test_every_operation_is_found_by_its_own_template() -> None:
    router = Router()
    for endpoint in endpoints.ENDPOINTS:
        match = router.match(endpoint.method, endpoint.path.replace("{", "").replace("}", ""))
        assert match is not None
        assert match.route.endpoint is endpoint


def test_binding_outside_the_table_is_refused() -> None:
    alien = Endpoint(
        method="GET", path="/x", operation="X", area="x", summary="", query=NoQuery, body=NoBody, result=NoneType
    )
    with pytest.raises(UnknownEndpointError):
        Router().bind(alien, lambda _: None)
