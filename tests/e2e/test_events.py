"""Events: their order, their attributes, filters, times, and what the next daemon remembers."""

import json
import time
from typing import Any

import pytest

from tests.support.daemon import IMAGE, Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox"),
    pytest.mark.timeout(120),
]


def told(moord: Daemon, *filters: str, since: str = "0") -> list[dict[str, Any]]:
    """Return what happened so far."""
    flags = [word for one in filters for word in ("-f", one)]
    until = f"{time.time():.6f}"
    lines = moord.docker("events", "--since", since, "--until", until, "--format", "{{json .}}", *flags)
    return [json.loads(line) for line in lines.splitlines()]


def named(events: list[dict[str, Any]]) -> list[str]:
    return [f"{one['Type']} {one['Action']}" for one in events]


def test_a_life_in_its_order(moord: Daemon) -> None:
    start = f"{time.time():.6f}"
    moord.docker("network", "create", "net")
    moord.docker("volume", "create", "vol")
    moord.docker(
        "run", "-d", "--name", "one", "-l", "k=v", "--network", "net", "-v", "vol:/data:ro", IMAGE, "sleep", "99"
    )
    moord.docker("rename", "one", "two")
    moord.docker("pause", "two")
    moord.docker("unpause", "two")
    moord.docker("stop", "-t", "0", "two")
    moord.docker("rm", "two")
    moord.docker("network", "rm", "net")
    moord.docker("volume", "rm", "vol")
    events = told(moord, since=start)
    assert named(events) == [
        "network create", "volume create", "container create", "network connect", "volume mount", "container start",
        "container rename", "container pause", "container unpause", "container kill", "container kill",
        "network disconnect", "volume unmount", "container die", "container stop", "container destroy",
        "network destroy", "volume destroy",
    ]  # fmt: skip
    by_name = {name: one["Actor"] for name, one in zip(named(events), events, strict=True)}
    container = by_name["container create"]["ID"]
    common = {"image": IMAGE, "name": "two", "k": "v"}
    assert by_name["container create"]["Attributes"] == common | {"name": "one"}
    assert by_name["container rename"]["Attributes"] == common | {"oldName": "/one"}
    assert by_name["container kill"]["Attributes"] == common | {"signal": "9"}
    died = by_name["container die"]["Attributes"]
    assert (died["exitCode"], died.keys()) == ("137", {*common, "exitCode", "execDuration"})
    assert by_name["network connect"]["Attributes"] == {"container": container, "name": "net", "type": "bridge"}
    mounted = by_name["volume mount"]
    assert (mounted["ID"], mounted["Attributes"]) == ("vol", {
        "container": container, "destination": "/data", "driver": "local", "propagation": "", "read/write": "false",
    })  # fmt: skip
    for one in events:
        assert (one["scope"], one["timeNano"] // 10**9) == ("local", one["time"])
    old = events[2]
    assert (old["status"], old["id"], old["from"]) == ("create", container, IMAGE)


def test_filters(moord: Daemon) -> None:
    start = f"{time.time():.6f}"
    container = moord.docker("run", "-d", "--name", "kept", "-l", "a=b", IMAGE, "sleep", "99")
    moord.docker("exec", "kept", "sh", "-c", ":")
    moord.docker("create", "--name", "other", IMAGE)

    def found(*filters: str) -> list[str]:
        return named(told(moord, *filters, since=start))

    assert found("event=create") == ["container create", "container create"]
    assert found("event=create", "event=start", "container=kep") == ["container create", "container start"]
    assert found("event=creat") == []
    assert found("container=" + container[:5], "event=start") == ["container start"]
    assert found("event=exec_create") == ["container exec_create: sh -c :"]
    assert found("event=exec_start", "event=sta") == ["container start", "container exec_start: sh -c :"]
    assert found("event=exec_create: sh -c :") == ["container exec_create: sh -c :"]
    assert found("label=a", "event=create") == found("label=a=b", "event=create") == ["container create"]
    assert found("label=a=c") == []
    assert found("type=network") == ["network connect"]
    assert found(f"image={IMAGE}", "event=start") == ["container start"]
    assert found("scope=swarm") == []
    assert found("daemon=x") == found("plugin=x") == found("service=x") == []
    assert found("colour=red", "event=start") == found("event=start") != []


def test_an_end_that_lies_ahead(moord: Daemon) -> None:
    moord.docker("create", "--name", "before", IMAGE)
    client = moord.popen("events", "--since", "1h", "--until", f"{time.time() + 4:.3f}", "-f", "type=container")
    assert client.stdout is not None
    lines = iter(client.stdout.readline, "")
    wait_until(lambda: "name=before" in next(lines), what="the past")
    moord.docker("create", "--name", "meanwhile", IMAGE)
    wait_until(lambda: "name=meanwhile" in next(lines), what="the present")
    assert client.wait(timeout=stretched(20)) == 0


def test_the_next_daemon_remembers(own: Daemon) -> None:
    own.docker("create", "--name", "early", IMAGE)
    journal = own.data_root / "events.jsonl"
    wait_until(lambda: journal.exists() and '"early"' in journal.read_text(), what="the event to be written")
    own.restart()
    own.docker("create", "--name", "late", IMAGE)
    own.stop()
    own.start()
    names = [one["Actor"]["Attributes"]["name"] for one in told(own, "event=create", "type=container")]
    assert names == ["early", "late"]
    own.docker("rm", "early", "late")


def test_a_commit_makes_an_image_and_names_it(moord: Daemon) -> None:
    moord.docker("create", "--name", "base", "-l", "k=v", IMAGE)
    start = f"{time.time():.6f}"
    moord.docker("commit", "base", "made:1")
    moord.docker("rmi", "made:1")
    events = told(moord, since=start)
    assert named(events) == ["image create", "image tag", "container commit", "image untag", "image delete"]
    made, tag, *_, deleted = events
    assert made["Actor"]["Attributes"] == {"name": made["Actor"]["ID"], "k": "v"}
    assert tag["Actor"]["Attributes"]["name"] == "made:1"
    # Nothing is left to read labels from.
    assert deleted["Actor"]["Attributes"] == {"name": made["Actor"]["ID"]}
