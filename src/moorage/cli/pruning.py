"""``prune`` of containers, images, networks, volumes, and all of them."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from moorage.api import endpoints
from moorage.api.containers import ContainerPruneQuery
from moorage.api.filters import Filters
from moorage.api.images import ImagePruneQuery
from moorage.api.networks import NetworkPruneQuery
from moorage.api.volumes import VolumePruneQuery
from moorage.cli.filters import parse_filters
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import human_size
from moorage.client.calls import call
from moorage.errors import InvalidParameterError

_SURE: Final = "Are you sure you want to continue?"


class PruneFlagsError(InvalidParameterError):
    """Two flags of a prune contradict each other."""


def _confirmed(warning: str, *, force: bool) -> bool:
    if force:
        return True
    click.echo(f"WARNING! {warning}\n{_SURE} [y/N] ", nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _listed(title: str, names: Sequence[str] | None) -> None:
    if names:
        click.echo(f"{title}:\n" + "\n".join(names) + "\n")


def _containers(session: Session, filters: Filters) -> int:
    request = call(endpoints.CONTAINER_PRUNE, query=ContainerPruneQuery(filters=filters))
    answer = session.perform(request)
    _listed("Deleted Containers", answer.containers_deleted)
    return answer.space_reclaimed


def _images(session: Session, filters: Filters) -> int:
    answer = session.perform(call(endpoints.IMAGE_PRUNE, query=ImagePruneQuery(filters=filters)))
    items = answer.images_deleted or []
    _listed(
        "Deleted Images",
        [f"untagged: {item.untagged}" if item.untagged else f"deleted: {item.deleted}" for item in items],
    )
    return answer.space_reclaimed


def _networks(session: Session, filters: Filters) -> int:
    answer = session.perform(call(endpoints.NETWORK_PRUNE, query=NetworkPruneQuery(filters=filters)))
    _listed("Deleted Networks", answer.networks_deleted)
    return 0


def _volumes(session: Session, filters: Filters) -> int:
    answer = session.perform(call(endpoints.VOLUME_PRUNE, query=VolumePruneQuery(filters=filters)))
    _listed("Deleted Volumes", answer.volumes_deleted)
    return answer.space_reclaimed


def _with(filters: Filters, key: str, value: str) -> Filters:
    return Filters({**filters.values, key: (value,)})


def _options(
    *, everything: str = "", example: str = "label=<key>=<value>"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")(function)
        text = f'Provide filter values (e.g. "{example}")'
        function = click.option("--filter", "filters", multiple=True, help=text)(function)
        if everything:
            function = click.option("-a", "--all", "all_", is_flag=True, help=everything)(function)
        return function

    return decorate


def _reclaimed(count: int) -> None:
    click.echo(f"Total reclaimed space: {human_size(count)}")


@click.command("prune", cls=Command, maximum=0)
@_options(example="until=<timestamp>")
@pass_session
def container_prune(session: Session, /, filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all stopped containers."""
    wanted = parse_filters(filters)
    if _confirmed("This will remove all stopped containers.", force=force):
        _reclaimed(_containers(session, wanted))


@click.command("prune", cls=Command, maximum=0)
@_options(everything="Remove all unused images, not just dangling ones", example="until=<timestamp>")
@pass_session
def image_prune(session: Session, /, filters: tuple[str, ...], *, force: bool, all_: bool) -> None:
    """Remove unused images."""
    wanted = _with(parse_filters(filters), "dangling", "false" if all_ else "true")
    which = "all images without at least one container associated to them" if all_ else "all dangling images"
    if _confirmed(f"This will remove {which}.", force=force):
        _reclaimed(_images(session, wanted))


@click.command("prune", cls=Command, maximum=0)
@_options(example="until=<timestamp>")
@pass_session
def network_prune(session: Session, /, filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all unused networks."""
    wanted = parse_filters(filters)
    if _confirmed("This will remove all custom networks not used by at least one container.", force=force):
        _networks(session, wanted)


@click.command("prune", cls=Command, maximum=0)
@_options(everything="Remove all unused volumes, not just anonymous ones", example="label=<label>")
@pass_session
def volume_prune(session: Session, /, filters: tuple[str, ...], *, force: bool, all_: bool) -> None:
    """Remove unused local volumes."""
    wanted = parse_filters(filters)
    wanted = _with(wanted, "all", "true") if all_ else wanted
    which = "all" if all_ else "anonymous"
    if _confirmed(f"This will remove {which} local volumes not used by at least one container.", force=force):
        _reclaimed(_volumes(session, wanted))


@click.command("prune", cls=Command, maximum=0)
@_options(everything="Remove all unused images not just dangling ones")
@click.option("--volumes", is_flag=True, help="Prune anonymous volumes")
@pass_session
def system_prune(session: Session, /, filters: tuple[str, ...], *, force: bool, all_: bool, volumes: bool) -> None:
    """Remove unused data."""
    wanted = parse_filters(filters)
    if volumes and "until" in wanted.values:
        raise PruneFlagsError('ERROR: The "until" filter is not supported with "--volumes"')
    parts = [
        "all stopped containers",
        "all networks not used by at least one container",
        *(["all anonymous volumes not used by at least one container"] if volumes else []),
        "all images without at least one container associated to them" if all_ else "all dangling images",
    ]
    warning = "This will remove:\n" + "".join(f"  - {part}\n" for part in parts)
    if not _confirmed(warning, force=force):
        return
    reclaimed = _containers(session, wanted)
    _networks(session, wanted)
    if volumes:
        reclaimed += _volumes(session, wanted)
    reclaimed += _images(session, _with(wanted, "dangling", "false" if all_ else "true"))
    _reclaimed(reclaimed)
