"""The way of a command to a registry, without an engine in between."""

import contextlib
from collections.abc import AsyncIterator

import msgspec

from moorage.cli.accounts import registry_of, stored_credentials
from moorage.oci.reference import Reference
from moorage.registry.client import RegistryClient
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import RegistryError, explain
from moorage.registry.repository import Repository


@contextlib.asynccontextmanager
async def repository_of(reference: Reference, *, insecure: bool, actions: str) -> AsyncIterator[Repository]:
    """Connect to a reference's repository for a block, as the user who has logged in there.

    Args:
        insecure: Allow plain HTTP and any certificate.
        actions: ``pull`` or ``pull,push``.
    """
    held = stored_credentials(registry_of(reference.repository))
    credentials = msgspec.convert(held, Credentials) if held else ANONYMOUS
    client = RegistryClient(settings=RegistrySettings(insecure=(reference.domain,) if insecure else ()))
    try:
        yield await client.connect(reference, credentials=credentials, actions=actions)
    except RegistryError as error:
        raise explain(error, reference=reference) from error
    finally:
        await client.close()
