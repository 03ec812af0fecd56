"""``moor context``: the engines that a user has given names to, in Docker's own store."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from moorage.cli.context_endpoints import default_material, endpoint
from moorage.cli.formatting import Row, print_rows
from moorage.cli.grammar import Command, daemon_error
from moorage.cli.inspecting import Found, show_found
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import shortened
from moorage.client.context_store import ENDPOINT, Context, ContextError, ContextStore, Material, natural_key
from moorage.client.contexts import DEFAULT_CONTEXT, HOST_VARIABLES
from moorage.client.user_settings import config_directory, read_settings, write_settings
from moorage.errors import ConflictError, InvalidParameterError, MoorageError

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
_DEFAULT_DESCRIPTION: Final = "Current DOCKER_HOST based configuration"
_COLUMNS: Final = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "DockerEndpoint": "DOCKER ENDPOINT",
    "Error": "ERROR",
    "Current": "",
}
_TABLE: Final = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}"


class ContextNameError(InvalidParameterError):
    """A context can't be called so."""


class ContextExistsError(ConflictError):
    """There is a context of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'context "{name}" already exists')


class ContextInUseError(ConflictError):
    """The context is the current one."""


def user_contexts() -> ContextStore:
    """Return the contexts of the user who runs this."""
    return ContextStore(config_directory())


def default_context(session: Session) -> Context:
    """Return the context that no file tells of.

    Raises:
        MoorageError: The environment's address can't be read.
    """
    address = session.default_address
    verify = address.tls is None or address.tls.verify
    return Context(name=DEFAULT_CONTEXT).at(address.text, verify=verify)


def found_context(session: Session, name: str) -> tuple[Context, Material]:
    """Return a context and its files for TLS.

    Raises:
        ContextError: It is not there.
    """
    if name == DEFAULT_CONTEXT:
        return default_context(session), default_material(session)
    return user_contexts().find(name), user_contexts().material(name)


def check_new(name: str) -> None:
    """Check that a context can be made under a name.

    Raises:
        ContextNameError: Docker's rule refuses it.
        ContextExistsError: There is one.
    """
    check_ordinary(name)
    if not _NAME.fullmatch(name):
        raise ContextNameError(
            f'context name "{name}" is invalid, names are validated against regexp "^{_NAME.pattern}$"'
        )
    if user_contexts().has(name):
        raise ContextExistsError(name)


def check_ordinary(name: str) -> None:
    """Check that a context is not the default one, which has no files.

    Raises:
        ContextNameError: It is.
    """
    if name == DEFAULT_CONTEXT:
        raise ContextNameError(f'"{DEFAULT_CONTEXT}" is a reserved context name')


def _warn_of_variable(wanted: str) -> None:
    if variable := next((name for name in HOST_VARIABLES if os.environ.get(name)), None):
        click.echo(
            f"Warning: {variable} environment variable overrides the active context. To use {wanted}, "
            f"either set the global --context flag, or unset {variable} environment variable.",
            err=True,
        )


@click.command(cls=Command, maximum=0)
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("-q", "--quiet", is_flag=True, help="Only show context names")
@pass_session
def ls(session: Session, /, *, format_text: str, quiet: bool) -> None:
    """List contexts."""
    current = session.context
    store = user_contexts()
    default = default_context(session).described(_DEFAULT_DESCRIPTION)
    contexts = [default, *store.all()]
    error = ""
    if current not in {context.name for context in contexts}:
        contexts.append(Context(name=current))
        error = _why_missing(store, current)
    contexts.sort(key=lambda context: natural_key(context.name))
    if quiet:
        click.echo("\n".join(context.name for context in contexts))
        return
    wide = format_text not in {"", "table"}
    rows: list[Row] = [
        {
            "Name": context.name,
            "Description": context.description,
            "DockerEndpoint": context.host,
            "Error": "" if context.name != current else error if wide else shortened(error, 45),
            "Current": context.name == current,
        }
        for context in contexts
    ]
    print_rows(rows, columns=_COLUMNS, format_text=format_text if wide else _TABLE, default=())
    if current == DEFAULT_CONTEXT:
        _warn_of_variable("a context")


def _why_missing(store: ContextStore, name: str) -> str:
    try:
        store.find(name)
    except ContextError as error:
        return str(error)
    return ""


@click.command(cls=Command, usage="", maximum=0)
@pass_session
def show(session: Session, /) -> None:
    """Print the name of the current context."""
    click.echo(session.context)


@click.command(cls=Command, usage="[OPTIONS] [CONTEXT] [CONTEXT...]")
@click.option("-f", "--format", "format_text", default="", help="Format output using a custom template")
@click.argument("contexts", nargs=-1)
@pass_session
def inspect(session: Session, /, contexts: tuple[str, ...], *, format_text: str) -> None:
    """Display detailed information on one or more contexts."""
    store = user_contexts()

    def fetch(name: str) -> Found:
        context, material = found_context(session, name)
        is_default = name == DEFAULT_CONTEXT
        storage = {
            "MetadataPath": "<IN MEMORY>" if is_default else str(store.metadata_path(name)),
            "TLSPath": "<IN MEMORY>" if is_default else str(store.tls_path(name)),
        }
        files = {endpoint: list(files) for endpoint, files in material.items()}
        return Found({**context.document(), "TLSMaterial": files, "Storage": storage})

    show_found(contexts or [session.context], fetch, format_text=format_text)


def _endpoint_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--docker", "endpoint_text", default="", help="set the docker endpoint")(function)
    return click.option("--description", help="Description of the context")(function)


@click.command(cls=Command, usage="[OPTIONS] CONTEXT", minimum=1, maximum=1)
@_endpoint_flags
@click.option("--from", "original", default="", help="create context from a named context")
@click.argument("context", required=False)
@pass_session
def create(session: Session, /, context: str, *, description: str | None, endpoint_text: str, original: str) -> None:
    """Create a context.

    --docker takes pairs, as in "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file".
    Its keys are from (a context whose endpoint is copied), host, ca, cert, key and skip-tls-verify.
    """
    check_new(context)
    if original and endpoint_text:
        raise InvalidParameterError("cannot use --docker flag when --from is set")
    if endpoint_text:
        made, material = _with_endpoint(session, Context(name=context), endpoint_text)
    else:
        made, material = _copied(session, original or session.context, context)
    user_contexts().write(made if description is None else made.described(description), material)
    click.echo(context)
    click.echo(f'Successfully created context "{context}"', err=True)


def _copied(session: Session, original: str, name: str) -> tuple[Context, Material]:
    found, material = found_context(session, original)
    metadata: Mapping[str, Any] = found.metadata
    if original == DEFAULT_CONTEXT:
        metadata = {"Description": _DEFAULT_DESCRIPTION}
    return Context(name=name, metadata=metadata, endpoints=found.endpoints), material


def _with_endpoint(session: Session, context: Context, text: str) -> tuple[Context, Material]:
    described = endpoint(text)
    if described.original:
        found, material = found_context(session, described.original)
        return context.at(found.host, verify=found.verifies), material
    return context.at(described.host, verify=described.verify), {ENDPOINT: described.files} if described.files else {}


@click.command(cls=Command, usage="[OPTIONS] CONTEXT", minimum=1, maximum=1)
@_endpoint_flags
@click.argument("context", required=False)
@pass_session
def update(session: Session, /, context: str, *, description: str | None, endpoint_text: str) -> None:
    """Update a context.

    --docker takes what it takes in "context create".
    """
    check_ordinary(context)
    store = user_contexts()
    found, material = store.find(context), None
    if endpoint_text:
        found, material = _with_endpoint(session, found, endpoint_text)
    store.write(found if description is None else found.described(description), material)
    click.echo(context)
    click.echo(f'Successfully updated context "{context}"', err=True)


@click.command(cls=Command, usage="CONTEXT", minimum=1, maximum=1)
@click.argument("context", required=False)
def use(context: str) -> None:
    """Set the current docker context."""
    if context != DEFAULT_CONTEXT:
        user_contexts().find(context)
    _choose(context)
    click.echo(context)
    click.echo(f'Current context is now "{context}"', err=True)
    if context != DEFAULT_CONTEXT:
        _warn_of_variable(f'"{context}"')


def _choose(name: str) -> None:
    settings = read_settings()
    before = settings.pop("currentContext", "")
    if name != DEFAULT_CONTEXT:
        settings["currentContext"] = name
    if before != settings.get("currentContext", ""):
        write_settings(settings)


@click.command(cls=Command, usage="CONTEXT [CONTEXT...]", minimum=1)
@click.option("-f", "--force", is_flag=True, help="Force the removal of a context in use")
@click.argument("contexts", nargs=-1)
@pass_session
def rm(session: Session, /, contexts: tuple[str, ...], *, force: bool) -> None:
    """Remove one or more contexts."""
    store = user_contexts()
    failures: list[str] = []
    for name in contexts:
        try:
            _remove(session, store, name, force=force)
        except MoorageError as error:
            failures.append(daemon_error(error))
        else:
            click.echo(name)
    for failure in failures:
        click.echo(failure, err=True)
    if failures:
        sys.exit(1)


def _remove(session: Session, store: ContextStore, name: str, *, force: bool) -> None:
    if name == DEFAULT_CONTEXT:
        raise ContextNameError(f'context "{DEFAULT_CONTEXT}" cannot be removed')
    if not force and not store.has(name):
        raise ContextError(f'context "{name}" does not exist')
    if name == session.context:
        if not force:
            raise ContextInUseError(f'context "{name}" is in use, set -f flag to force remove')
        _choose(DEFAULT_CONTEXT)
    store.remove(name)
