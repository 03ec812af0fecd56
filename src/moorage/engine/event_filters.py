"""Which events a listener asked for.

Pure. Values of one key are alternatives, keys must all match; objects are found by a prefix
of their ID or name, most actions exactly.

Spec: Engine API, GET /events, "filters".
"""

from typing import Final

from moorage.api.filters import Filters
from moorage.engine.events import Event

#: Actions that carry more text behind their name, such as "exec_start: sh". Asked for by one of
#: these, every event is found by a prefix of its action, as with Docker.
_OPEN_ENDED: Final = frozenset({"exec_create", "exec_start", "health_status"})
#: Kinds that are filtered by a key of their own name.
_KINDS: Final = ("container", "volume", "network", "plugin", "daemon", "node", "service", "secret", "config")


def wants(filters: Filters, event: Event) -> bool:
    """Tell whether the filters let an event through."""
    return (
        filters.matches("type", event.kind)
        and filters.matches("scope", "local")
        and _wants_action(filters, event.action)
        and all(_wants_object(filters, kind, event) for kind in _KINDS if kind in filters)
        and _wants_image(filters, event)
        and filters.matches_labels(event.attributes)
    )


def _wants_action(filters: Filters, action: str) -> bool:
    if not _OPEN_ENDED.isdisjoint(filters.get("event")):
        return filters.matches_prefix("event", action)
    return filters.matches("event", action)


def _wants_object(filters: Filters, kind: str, event: Event) -> bool:
    return filters.matches_prefix(kind, event.actor_id) or filters.matches_prefix(
        kind, event.attributes.get("name", "")
    )


def _wants_image(filters: Filters, event: Event) -> bool:
    if "image" not in filters:
        return True
    name = event.attributes.get("name" if event.kind == "image" else "image", "")
    candidates = (event.actor_id, name, _without_tag(event.actor_id), _without_tag(name))
    return any(candidate and filters.matches("image", candidate) for candidate in candidates)


def _without_tag(reference: str) -> str:
    """Return a reference without tag and digest; a registry's port is not a tag."""
    name = reference.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name
