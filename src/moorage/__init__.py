"""Moorage: a container platform for anyone who has Python and Linux.

::

    import moorage

    with moorage.connect() as engine:
        print(engine.run("busybox", ["echo", "hello"]))
        web = engine.start("nginx", ports={80: 8080}, volumes={"data": "/data"})
        print(web.exec(["nginx", "-v"]).stderr)
        web.remove(force=True)

`connect_async` gives the same with ``await``.
"""

# Not typing's own: that import costs more than all else that `moor-oci` does first.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.client.asynchronous import AsyncEngine
    from moorage.client.blocking import Engine


def connect(host: str | None = None) -> "Engine":
    """Return a client of an engine; nothing is sent until its first call.

    Args:
        host: ``unix:///path``, ``tcp://host:port`` or ``ssh://user@host``. None takes ``MOORAGE_HOST``, then
            ``DOCKER_HOST``, then the default socket.

    Raises:
        InvalidHostError: The address can't be read.
    """
    # Imported here because every process of the engine imports this package, and the one
    # beside each container must stay small.
    from moorage.client.blocking import Engine
    from moorage.client.connection import Connection
    from moorage.client.contexts import chosen_address

    return Engine(Connection(chosen_address(host)))


def connect_async(host: str | None = None) -> "AsyncEngine":
    """Return an asynchronous client of an engine; arguments as for `connect`."""
    from moorage.client.asynchronous import AsyncConnection, AsyncEngine
    from moorage.client.contexts import chosen_address

    return AsyncEngine(AsyncConnection(chosen_address(host)))
