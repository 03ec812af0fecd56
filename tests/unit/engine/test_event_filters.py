"""Which events a filter lets through."""

import pytest

from moorage.api.filters import Filters
from moorage.engine.event_filters import wants
from moorage.engine.events import Event

DIE = Event(
    kind="container",
    action="die",
    actor_id="4d5e6f",
    attributes={"name": "web-1", "image": "registry:5000/shop/web:2", "tier": "front"},
    time_ns=1,
)
PULL = Event(kind="image", action="pull", actor_id="busybox:latest", attributes={"name": "busybox"}, time_ns=2)
HEALTH = Event(kind="container", action="health_status: healthy", actor_id="4d5e6f", time_ns=3)


@pytest.mark.parametrize(
    ("key", "value", "event"),
    [
        ("type", "container", DIE),
        ("event", "die", DIE),
        ("event", "health_status", HEALTH),
        ("container", "4d5", DIE),
        ("container", "web-1", DIE),
        ("container", "web", DIE),
        ("image", "registry:5000/shop/web", DIE),
        ("image", "registry:5000/shop/web:2", DIE),
        ("image", "busybox", PULL),
        ("image", "busybox:latest", PULL),
        ("label", "tier", DIE),
        ("label", "tier=front", DIE),
        ("scope", "local", DIE),
    ],
)
def test_filter_finds_its_event(key: str, value: str, event: Event) -> None:
    assert wants(Filters({key: (value,)}), event)


@pytest.mark.parametrize(
    ("key", "value", "event"),
    [
        ("type", "image", DIE),
        ("event", "di", DIE),
        ("container", "5e6", DIE),
        ("container", "web-1", PULL),
        ("volume", "v", DIE),
        ("image", "registry", DIE),
        ("image", "busy", PULL),
        ("label", "tier=back", DIE),
        ("scope", "swarm", DIE),
    ],
)
def test_filter_keeps_out_other_events(key: str, value: str, event: Event) -> None:
    assert not wants(Filters({key: (value,)}), event)


@pytest.mark.parametrize(
    "kind", ["container", "image", "volume", "network", "plugin", "daemon", "node", "service", "secret", "config"]
)
def test_every_kind_of_object_is_a_filter(kind: str) -> None:
    event = Event(kind=kind, action="create", actor_id="4d5e6f", attributes={"name": "it"}, time_ns=1)
    assert wants(Filters({kind: ("it",)}), event)
    assert wants(Filters({kind: ("4d5e6f",), "type": (kind,)}), event)
    assert not wants(Filters({kind: ("other",)}), event)


def test_values_are_alternatives_and_keys_conditions() -> None:
    assert wants(Filters({"event": ("start", "die"), "type": ("container",)}), DIE)
    assert not wants(Filters({"event": ("start", "die"), "type": ("image",)}), DIE)
