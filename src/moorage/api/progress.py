"""The JSON objects that pull, push, load, import and build send while they work.

Spec: Engine API, definitions "BuildInfo", "CreateImageInfo", "PushImageInfo".
"""

from msgspec import field

from moorage.api.wire import JSON, Model, always


class ProgressDetail(Model, rename="lower"):
    """Numbers behind a progress bar; without `units` they are bytes."""

    current: int = 0
    total: int = 0
    start: int = 0
    hide_counts: bool = field(default=False, name="hidecounts")
    units: str = ""


class ErrorDetail(Model, rename="lower"):
    """Why the operation failed; `code` is an exit status where there is one."""

    code: int = 0
    message: str = ""


class ProgressMessage(Model):
    """One message; an `error` ends the operation.

    Attributes:
        progress: The bar as text, which clients before Docker 29 print.
        progress_detail: None leaves it out; an empty one is written as {}.
    """

    stream: str = field(default="", name="stream")
    status: str = field(default="", name="status")
    progress_detail: ProgressDetail | None = field(default=None, name="progressDetail")
    progress: str = field(default="", name="progress")
    id: str = field(default="", name="id")
    from_: str = field(default="", name="from")
    time: int = field(default=0, name="time")
    time_nano: int = field(default=0, name="timeNano")
    error_detail: ErrorDetail | None = field(default=None, name="errorDetail")
    error: str = field(default="", name="error")
    aux: JSON = field(default=None, name="aux")


class PushResult(Model):
    """The `aux` object that ends a push."""

    tag: str = always(default="")
    digest: str = always(default="")
    size: int = always(default=0)
