"""``moor checkpoint``."""

import click

from moorage.api import endpoints
from moorage.api.container_state import RequestedCheckpoint
from moorage.api.containers import CheckpointQuery
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call


@click.command(cls=Command, usage="[OPTIONS] CONTAINER CHECKPOINT", minimum=2, maximum=2)
@click.option("--checkpoint-dir", default="", help="Use a custom checkpoint storage directory")
@click.option("--leave-running", is_flag=True, help="Leave the container running after checkpoint")
@click.argument("container", required=False)
@click.argument("checkpoint", required=False)
@pass_session
def create(session: Session, /, container: str, checkpoint: str, *, checkpoint_dir: str, leave_running: bool) -> None:
    """Create a checkpoint from a running container."""
    body = RequestedCheckpoint(checkpoint_id=checkpoint, checkpoint_dir=checkpoint_dir, exit=not leave_running)
    session.perform(call(endpoints.CHECKPOINT_CREATE, path={"id": container}, body=body))
    click.echo(checkpoint)


@click.command(cls=Command, usage="[OPTIONS] CONTAINER", minimum=1, maximum=1)
@click.option("--checkpoint-dir", default="", help="Use a custom checkpoint storage directory")
@click.argument("container", required=False)
@pass_session
def ls(session: Session, /, container: str, *, checkpoint_dir: str) -> None:
    """List checkpoints for a container."""
    query = CheckpointQuery(directory=checkpoint_dir)
    found = session.perform(call(endpoints.CHECKPOINT_LIST, path={"id": container}, query=query))
    for line in ("CHECKPOINT NAME", *(checkpoint.name for checkpoint in found)):
        click.echo(line)


@click.command(cls=Command, usage="[OPTIONS] CONTAINER CHECKPOINT", minimum=2, maximum=2)
@click.option("--checkpoint-dir", default="", help="Use a custom checkpoint storage directory")
@click.argument("container", required=False)
@click.argument("checkpoint", required=False)
@pass_session
def rm(session: Session, /, container: str, checkpoint: str, *, checkpoint_dir: str) -> None:
    """Remove a checkpoint."""
    path = {"id": container, "checkpoint": checkpoint}
    session.perform(call(endpoints.CHECKPOINT_DELETE, path=path, query=CheckpointQuery(directory=checkpoint_dir)))
