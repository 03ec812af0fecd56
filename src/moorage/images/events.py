"""Telling what happened to images."""

from moorage.images.ports import EventPublisher
from moorage.images.records import Image


def publish_image_event(
    events: EventPublisher, action: str, *, image: Image | None, actor_id: str, name: str | None = None
) -> None:
    """Publish an event of type image, with the image's labels and, if it has one, its name."""
    attributes = dict(image.labels) if image else {}
    if name:
        attributes["name"] = name
    events.publish("image", action, actor_id, attributes)
