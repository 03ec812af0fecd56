"""The registry put together, and its listeners.

Built on aiohttp's server: a registry moves large files over plain HTTP, and the kernel sends
them.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from moorage.distribution.access.control import AccessControl, Everybody
from moorage.distribution.access.granting import RightsFile, TokenServer
from moorage.distribution.access.htpasswd import PasswordFile, Users
from moorage.distribution.access.signing_keys import signing_key
from moorage.distribution.access.tokens import TOKEN_PATH, TokenAccess, TokenIssuer, read_issuer
from moorage.distribution.collection import Collector
from moorage.distribution.configuration import Settings
from moorage.distribution.handlers.blobs import BlobHandlers
from moorage.distribution.handlers.dispatch import Dispatcher, Table
from moorage.distribution.handlers.lists import ListHandlers
from moorage.distribution.handlers.manifests import ManifestHandlers
from moorage.distribution.handlers.tokens import KEYS_PATH, TokenHandlers
from moorage.distribution.handlers.uploads import UploadHandlers
from moorage.distribution.metrics import CONTENT_TYPE, Metrics
from moorage.distribution.proxy import PullThrough
from moorage.distribution.repositories import Repositories
from moorage.distribution.routes import Resource
from moorage.distribution.storage.directory import DirectoryStore
from moorage.distribution.storage.ports import ObjectStore
from moorage.distribution.uploads import Uploads
from moorage.errors import InvalidParameterError
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.endpoints import Endpoint, Trust
from moorage.registry.transport import Transport

_log = logging.getLogger(__name__)
_BACKLOG: Final = 1024
_UPLOADS: Final = "uploads"
_TOKEN_KEY: Final = "token.key"  # noqa: S105 - a file's name
_ISSUER: Final = "moor registry"
_SERVICE: Final = "registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One registry, not listening yet."""

    dispatcher: Dispatcher
    collector: Collector
    metrics: Metrics
    tokens: TokenHandlers | None = None


@contextlib.asynccontextmanager
async def registry(settings: Settings) -> AsyncIterator[Registry]:
    """Put a registry together for a block.

    Raises:
        InvalidParameterError: A file that the settings name says nothing usable.
        OSError: One can't be read, or the storage can't be made.
    """
    metrics = Metrics()
    repositories = Repositories(_store(settings))
    uploads = Uploads(settings.storage / _UPLOADS)
    transport = Transport(user_agent="moor-registry")
    upstream = _upstream(settings, transport, repositories, uploads, metrics) if settings.proxy else None
    table = _table(settings, repositories, uploads, upstream)
    tokens = _token_server(settings) if settings.access_list is not None else None
    access = _access(settings) if tokens is None else _access_by(tokens, realm=settings.token_realm)
    dispatcher = Dispatcher(
        table=table, access=access, metrics=metrics, read_only=settings.read_only or upstream is not None
    )
    collector = Collector(
        repositories=repositories, uploads=uploads, grace=settings.grace, upload_age=settings.upload_age,
        untagged=settings.untagged,
    )  # fmt: skip
    try:
        handlers = TokenHandlers(server=tokens) if tokens is not None else None
        yield Registry(dispatcher=dispatcher, collector=collector, metrics=metrics, tokens=handlers)
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def listening(made: Registry, settings: Settings) -> AsyncIterator[list[int]]:
    """Answer requests for a block; yield the ports, the one of the metrics last."""
    async with contextlib.AsyncExitStack() as stack:
        application = web.Application(client_max_size=0)
        if made.tokens is not None:
            application.router.add_get(TOKEN_PATH, made.tokens.get)
            application.router.add_post(TOKEN_PATH, made.tokens.post)
            application.router.add_get(KEYS_PATH, made.tokens.keys)
        application.router.add_route("*", "/{path:.*}", made.dispatcher.answer)
        ports = [await _listen(stack, application, settings.addr, tls=_tls(settings))]
        if settings.metrics_addr:
            ports.append(await _listen(stack, _metrics_application(made.metrics), settings.metrics_addr))
        if settings.gc_interval:
            collecting = asyncio.create_task(_collect_for_ever(made, settings.gc_interval))
            stack.callback(collecting.cancel)
        yield ports


async def collect_once(made: Registry) -> None:
    """Collect garbage, and count it."""
    found = await made.collector.collect()
    made.metrics.collected(blobs=found.blobs, bytes_freed=found.bytes_freed)
    _log.info(
        "garbage collected: %d blobs, %d links, %d uploads, %d bytes",
        found.blobs, found.links, found.uploads, found.bytes_freed,
    )  # fmt: skip


async def _collect_for_ever(made: Registry, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            await collect_once(made)
        except Exception:  # noqa: BLE001  # the supervisor of a task that must not end
            # Whatever a disk or somebody's object store came up with: serving goes on as far as it can, and so does
            # this. There is nobody to tell but the log.
            _log.exception("garbage could not be collected")


def _store(settings: Settings) -> ObjectStore:
    if not settings.s3_bucket:
        return DirectoryStore(settings.storage)
    # The library is not everybody's: only who asks for it needs it.
    from moorage.distribution.storage.s3 import open_bucket  # noqa: PLC0415

    return open_bucket(settings)


def _upstream(
    settings: Settings, transport: Transport, repositories: Repositories, uploads: Uploads, metrics: Metrics
) -> PullThrough:
    user, password = settings.proxy_user, settings.proxy_password
    return PullThrough(
        endpoint=Endpoint(url=settings.proxy.rstrip("/"), trust=Trust(verify=not settings.proxy_insecure)),
        credentials=Credentials(username=user, password=password) if user else ANONYMOUS,
        transport=transport, repositories=repositories, uploads=uploads, metrics=metrics,
    )  # fmt: skip


def _table(settings: Settings, repositories: Repositories, uploads: Uploads, upstream: PullThrough | None) -> Table:
    blobs = BlobHandlers(repositories=repositories, upstream=upstream)
    manifests = ManifestHandlers(repositories=repositories, upstream=upstream, sparse=settings.sparse)
    sessions = UploadHandlers(repositories=repositories, uploads=uploads)
    lists = ListHandlers(repositories=repositories, upstream=upstream)
    deleting = {(Resource.BLOB, "DELETE"): blobs.delete, (Resource.MANIFEST, "DELETE"): manifests.delete}
    return {
        (Resource.BASE, "GET"): lists.base,
        (Resource.CATALOG, "GET"): lists.catalog,
        (Resource.TAGS, "GET"): lists.tags,
        (Resource.REFERRERS, "GET"): lists.referrers,
        (Resource.BLOB, "GET"): blobs.get,
        (Resource.MANIFEST, "GET"): manifests.get,
        (Resource.MANIFEST, "PUT"): manifests.put,
        (Resource.UPLOADS, "POST"): sessions.begin,
        (Resource.UPLOAD, "GET"): sessions.status,
        (Resource.UPLOAD, "PATCH"): sessions.append,
        (Resource.UPLOAD, "PUT"): sessions.finish,
        (Resource.UPLOAD, "DELETE"): sessions.cancel,
        **(deleting if settings.delete else {}),
        **{(resource, "OPTIONS"): lists.preflight for resource in Resource},
    }


def _access(settings: Settings) -> AccessControl:
    if settings.htpasswd is not None:
        return PasswordFile(Users(settings.htpasswd), realm=settings.realm, anonymous_pull=settings.anonymous_pull)
    if settings.token_issuer:
        issuer = read_issuer(
            realm=settings.token_realm, service=settings.token_service, issuer=settings.token_issuer,
            bundle=settings.token_bundle, jwks=settings.token_jwks,
        )  # fmt: skip
        return TokenAccess(issuer)
    return Everybody()


def _token_server(settings: Settings) -> TokenServer:
    if settings.htpasswd is None or settings.access_list is None:
        raise InvalidParameterError("an access list is about users of a password file")
    issuer = settings.token_issuer or _ISSUER
    key = signing_key(settings.token_key or settings.storage / _TOKEN_KEY, issuer=issuer)
    return TokenServer(
        users=Users(settings.htpasswd), rights=RightsFile(settings.access_list), key=key, issuer=issuer,
        service=settings.token_service or _SERVICE,
    )  # fmt: skip


def _access_by(tokens: TokenServer, *, realm: str) -> TokenAccess:
    keys = (tokens.key.private.public_key(),)
    # What is signed here needs no certificate to be believed, and what another certificate signed is not.
    return TokenAccess(
        TokenIssuer(
            realm=realm, service=tokens.service, issuer=tokens.issuer, keys=keys, roots=(tokens.key.certificate,)
        )
    )


async def _listen(
    stack: contextlib.AsyncExitStack, application: web.Application, addr: str, *, tls: ssl.SSLContext | None = None
) -> int:
    runner = web.AppRunner(application, access_log=None, auto_decompress=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, _, port = addr.rpartition(":")
    site = web.TCPSite(
        runner, host.strip("[]") or None, int(port), ssl_context=tls, backlog=_BACKLOG, reuse_address=True
    )
    await site.start()
    chosen: int = runner.addresses[0][1]
    _log.info("listening on %s, port %d%s", host or "all addresses", chosen, ", TLS" if tls else "")
    return chosen


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for file in filter(None, (settings.tls_cert, settings.tls_key)):
        # OpenSSL does not say which of them it can't read.
        file.open("rb").close()
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except ssl.SSLError as error:
        text = f"{settings.tls_cert} and {settings.tls_key} are no certificate with its key: {error.reason}"
        raise InvalidParameterError(text) from error
    return context


def _metrics_application(metrics: Metrics) -> web.Application:
    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({})

    application = web.Application()
    application.router.add_get("/metrics", show)
    application.router.add_get("/debug/health", health)
    return application
