"""``--device`` and ``--gpus``."""

import pytest

from moorage.api.host_config import DeviceMapping, DeviceRequest
from moorage.cli.device_flags import device_requests, devices
from moorage.cli.flag_checks import FlagError
from moorage.cli.grammar import FlagValueError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:r", ("/dev/a", "/dev/a", "r")),
        ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:/dev/b:rw", ("/dev/a", "/dev/b", "rw")),
    ],
)
def test_devices(text: str, found: tuple[str, str, str]) -> None:
    path, inside, access = found
    expected = DeviceMapping(path_on_host=path, path_in_container=inside, cgroup_permissions=access)
    assert devices([text, "vendor.com/thing=a"]) == [expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/dev/a:/dev/b:q", "bad mode specified: q"),
        ("/a:/b:/c:r", "bad format for path: /a:/b:/c:r"),
        ("dev/a", "dev/a is not an absolute path"),
        ("a.com/b=", "a.com/b= is not an absolute path"),
        ("/dev/a:rw:r", "rw is not an absolute path"),
    ],
)
def test_devices_that_are_none(text: str, message: str) -> None:
    with pytest.raises(FlagError, match=message):
        devices([text])


@pytest.mark.parametrize(
    ("text", "count", "ids", "capabilities"),
    [
        ("all", -1, None, ["gpu"]),
        ("2", 2, None, ["gpu"]),
        ('"device=0,1"', 0, ["0", "1"], ["gpu"]),
        ('driver=nvidia,"capabilities=compute,utility"', 1, None, ["compute", "utility", "gpu"]),
        ("device=0,count=2", 2, ["0"], ["gpu"]),
    ],
)
def test_gpus(text: str, count: int, ids: list[str] | None, capabilities: list[str]) -> None:
    driver = "nvidia" if "nvidia" in text else ""
    request = DeviceRequest(driver=driver, count=count, device_ids=ids, capabilities=[capabilities], options={})
    assert device_requests([], text) == [request]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo=1", "unexpected key 'foo' in 'foo=1'"),
        ("count=x", r"invalid count \(x\): value must be either"),
        ("1,count=2", "gpu request key 'count' can be specified only once"),
    ],
)
def test_gpus_that_are_none(text: str, message: str) -> None:
    with pytest.raises(FlagValueError, match=message):
        device_requests([], text)


def test_described_devices_are_one_request() -> None:
    asked = ["a.com/b=c", "/dev/x", "a.com/b=d"]
    assert device_requests(asked, "") == [DeviceRequest(driver="cdi", device_ids=["a.com/b=c", "a.com/b=d"])]
    assert device_requests(["/dev/x"], "") is None
