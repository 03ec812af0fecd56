"""Exec: processes added to a running container.

Spec: Engine API, tag "Exec".
"""

from msgspec import field

from moorage.api.wire import Model, always


class ExecCreateRequest(Model):
    """The process to add; `env` adds to the container's environment."""

    user: str = always(default="")
    privileged: bool = always(default=False)
    tty: bool = always(default=False)
    console_size: tuple[int, int] | None = None
    attach_stdin: bool = always(default=False)
    attach_stderr: bool = always(default=False)
    attach_stdout: bool = always(default=False)
    detach: bool = always(default=False)
    detach_keys: str = always(default="")
    env: list[str] | None = always(default=None)
    working_dir: str = always(default="")
    cmd: list[str] | None = always(default=None)


class ExecStartRequest(Model):
    """How to start it; `tty` must repeat what create said."""

    detach: bool = always(default=False)
    tty: bool = always(default=False)
    console_size: tuple[int, int] | None = None


class ExecProcessConfig(Model, rename="camel"):
    """The process, as inspect shows it."""

    tty: bool = always(default=False)
    entrypoint: str = always(default="")
    arguments: list[str] | None = always(default=None)
    privileged: bool | None = None
    user: str = ""


class ExecInspectResponse(Model):
    """The state of an added process; `exit_code` is None while it runs or waits."""

    id: str = field(name="ID")
    running: bool = always(default=False)
    exit_code: int | None = always(default=None)
    process_config: ExecProcessConfig | None = always(default=None)
    open_stdin: bool = always(default=False)
    open_stderr: bool = always(default=False)
    open_stdout: bool = always(default=False)
    can_remove: bool = always(default=False)
    container_id: str = always(default="", name="ContainerID")
    detach_keys: str = always(default="")
    pid: int = always(default=0)


class IDResponse(Model):
    """The ID of what was made."""

    id: str
