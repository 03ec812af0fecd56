"""``moor run`` and ``moor create``."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from moorage.api import endpoints
from moorage.api.containers import (
    ContainerCreateQuery,
    ContainerCreateRequest,
    ContainerCreateResponse,
    ContainerDeleteQuery,
)
from moorage.api.images import ImageCreateQuery
from moorage.cli import terminal
from moorage.cli.accounts import registry_header
from moorage.cli.api_socket import put_credentials, with_api_socket
from moorage.cli.attached import (
    attach_request,
    begin_wait,
    container_resizer,
    converse,
    following_size,
    forwarding_signals,
    upgrade,
)
from moorage.cli.container_flags import container_flags
from moorage.cli.flag_checks import FlagError
from moorage.cli.grammar import Command, FlagValueError, daemon_error
from moorage.cli.progress import show_progress
from moorage.cli.requests import attached_streams, create_request
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call
from moorage.client.errors import RefusedError
from moorage.client.steps import split_tag
from moorage.errors import MoorageError, NotFoundError

# What stands behind the image is the container's.
_CONTEXT: Final = {"allow_interspersed_args": False}


@click.command(cls=Command, usage="[OPTIONS] IMAGE [COMMAND] [ARG...]", minimum=1, context_settings=_CONTEXT)
@click.option("-d", "--detach", is_flag=True, help="Run container in background and print container ID")
@click.option("--detach-keys", default="", help="Override the key sequence for detaching a container")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Proxy received signals to the process")
@container_flags
@click.argument("image", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_session
def run(
    session: Session,
    /,
    image: str,
    command: tuple[str, ...],
    *,
    detach: bool,
    detach_keys: str,
    sig_proxy: bool,
    **flags: Any,
) -> None:
    """Create and run a new container from an image."""
    if detach and flags["attach"]:
        raise FlagError("conflicting options: cannot specify both --attach and --detach")
    if not detach:
        terminal.require_terminal(interactive=flags["interactive"], tty_wanted=flags["tty"])
    try:
        size = terminal.size() if flags["tty"] else None
        request = create_request(image, command, flags, detached=detach, console_size=size)
        identity = create_container(session, request, flags)
        status = (
            _start_detached(session, identity)
            if detach
            else _run_attached(session, identity, flags, detach_keys=detach_keys, sig_proxy=sig_proxy)
        )
    except FlagValueError:
        raise
    except MoorageError as error:
        _fail(error, "run")
    sys.exit(status)


@click.command(cls=Command, usage="[OPTIONS] IMAGE [COMMAND] [ARG...]", minimum=1, context_settings=_CONTEXT)
@container_flags
@click.argument("image", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_session
def create(session: Session, /, image: str, command: tuple[str, ...], **flags: Any) -> None:
    """Create a new container."""
    try:
        request = create_request(image, command, flags, detached=False)
    except FlagValueError:
        raise
    except MoorageError as error:
        _fail(error, "create")
    click.echo(create_container(session, request, flags))


def _fail(error: MoorageError, command: str) -> NoReturn:
    click.echo(f"moor: {daemon_error(error)}\n\nRun 'moor {command} --help' for more information", err=True)
    # Only what the engine says can be about the container's program.
    sys.exit(status_of_failure(str(error)) if isinstance(error, RefusedError) else 125)


def status_of_failure(text: str) -> int:
    """Return the exit status for a container that did not start: a shell's 126 and 127, else 125."""
    if "executable file not found" in text or "no such file or directory" in text or "system cannot find" in text:
        return 127
    if "permission denied" in text or "is a directory" in text:
        return 126
    return 125


def create_container(session: Session, request: ContainerCreateRequest, flags: dict[str, Any]) -> str:
    """Create a container, pulling its image as ``--pull`` says; print warnings and return the ID.

    Raises:
        MoorageError: The engine refused, or the ID file is there already.
    """
    identity_file = Path(flags["cidfile"]) if flags["cidfile"] else None
    if identity_file is not None and identity_file.exists():
        raise FlagError(
            f"container ID file found, make sure the other container isn't running or delete {identity_file}"
        )
    if flags["use_api_socket"]:
        request = with_api_socket(session, request)
    if flags["pull"] == "always":
        _pull(session, request.image, flags)
    created = _create(session, request, flags)
    for warning in created.warnings or ():
        click.echo(f"WARNING: {warning}", err=True)
    if identity_file is not None:
        identity_file.write_text(created.id)
    if flags["use_api_socket"]:
        put_credentials(session, created.id)
    return created.id


def _create(session: Session, request: ContainerCreateRequest, flags: dict[str, Any]) -> ContainerCreateResponse:
    query = ContainerCreateQuery(name=flags["name"], platform=flags["platform"])
    wanted = call(endpoints.CONTAINER_CREATE, query=query, body=request)
    try:
        return session.perform(wanted)
    except NotFoundError as error:
        missing = "No such image" in str(error) or "image with reference" in str(error)
        if flags["pull"] == "never" or not missing:
            raise
        name, tag = split_tag(request.image)
        separator = "@" if "@" in request.image else ":"
        click.echo(f"Unable to find image '{name}{separator}{tag}' locally", err=True)
        _pull(session, request.image, flags)
        return session.perform(wanted)


def _pull(session: Session, image: str, flags: dict[str, Any]) -> None:
    name, tag = split_tag(image)
    query = ImageCreateQuery(from_image=name, tag=tag, platform=flags["platform"])
    headers = registry_header(name)
    with session.connection.begin(call(endpoints.IMAGE_CREATE, query=query), headers=headers) as exchange:
        show_progress(exchange.checked().chunks(), quiet=flags["quiet"], to_stderr=True)


def _start_detached(session: Session, identity: str) -> int:
    # Whatever comes of the start, the container is there, and scripts learn its ID to remove it.
    click.echo(identity)
    session.perform(call(endpoints.CONTAINER_START, path={"id": identity}))
    return 0


def _run_attached(session: Session, identity: str, flags: dict[str, Any], *, detach_keys: str, sig_proxy: bool) -> int:
    streams, tty = attached_streams(flags), flags["tty"]
    resize = container_resizer(session, identity)
    with ExitStack() as stack:
        stack.enter_context(forwarding_signals(session, identity, wanted=sig_proxy and not tty))
        try:
            exchange = upgrade(session, attach_request(identity, streams=streams, detach_keys=detach_keys))
            stack.callback(exchange.close)
            exit_status = begin_wait(session, identity, condition="removed" if flags["rm"] else "next-exit")
            session.perform(call(endpoints.CONTAINER_START, path={"id": identity}))
        except MoorageError:
            if flags["rm"]:
                _discard(session, identity)
            raise
        stack.enter_context(following_size(resize, tty=tty))
        converse(exchange, stdin="stdin" in streams, tty=tty)
        if tty and _detached(session, identity):
            return 0
        return exit_status()


def _discard(session: Session, identity: str) -> None:
    query = ContainerDeleteQuery(force=True, v=True)
    try:
        session.perform(call(endpoints.CONTAINER_DELETE, path={"id": identity}, query=query))
    except MoorageError:
        # The engine removes such a container itself; whoever is first.
        return


def _detached(session: Session, identity: str) -> bool:
    """Whether the streams ended because the user pressed the detach keys."""
    try:
        record = session.perform(call(endpoints.CONTAINER_INSPECT, path={"id": identity}))
    except NotFoundError:
        return False
    return record.state is not None and record.state.running
