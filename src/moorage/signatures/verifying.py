"""Verifying an image before it is pulled."""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage.oci.digest import Digest
from moorage.oci.reference import Reference
from moorage.registry.repository import Repository
from moorage.signatures.claims import Claim
from moorage.signatures.errors import ImageRefusedError, MalformedSignatureError
from moorage.signatures.finding import Candidate, Found, find_signatures
from moorage.signatures.identities import SignedIdentity
from moorage.signatures.keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A signature that an image must have.

    Attributes:
        identity: Which names may stand in it; None takes any.
    """

    keys: tuple[PublicKey, ...]
    identity: SignedIdentity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """All that is asked of one image."""

    reference: Reference
    demands: tuple[Demand, ...]

    async def check(self, repository: Repository, *, digests: Sequence[Digest]) -> list[Claim]:
        """Verify an image; return the claims that its signatures make.

        Args:
            digests: Of the index that the name points at, and of the manifest in it that is meant. A signature of
                either will do: the index names the manifest by its digest.

        Raises:
            ImageRefusedError: A signature is missing or wrong.
            MoorageError: The registry failed.
        """
        distinct = list(dict.fromkeys(digests))
        return [await self._check(demand, repository, digests=distinct) for demand in self.demands]

    async def _check(self, demand: Demand, repository: Repository, *, digests: Sequence[Digest]) -> Claim:
        reasons: list[str] = []
        for digest in digests:
            async for found in find_signatures(repository, digest):
                verdict = judge(found, demand=demand, digest=digest, reference=self.reference)
                if isinstance(verdict, Claim):
                    return verdict
                reasons.append(verdict)
        why = "; ".join(dict.fromkeys(reasons)) or "it has no signature"
        raise ImageRefusedError(f"signature verification failed for {self.reference.familiar} ({digests[0]}): {why}")


def judge(found: Found, *, demand: Demand, digest: Digest, reference: Reference) -> Claim | str:
    """Return what a signature claims, or why it does not fulfil a demand."""
    if isinstance(found, MalformedSignatureError):
        return str(found)
    if not _is_verified(found, demand.keys):
        return f"a signature was not made with {' or '.join(key.source for key in demand.keys)}"
    try:
        claim = found.read()
    except MalformedSignatureError as error:
        return str(error)
    if claim.digest != digest:
        return f"a signature is for {claim.digest}, not for {digest}"
    if demand.identity is not None and not demand.identity.accepts(reference, signed=claim.identity):
        return f'a signature is for the identity "{claim.identity}"' if claim.identity else "a signature names no image"
    return claim


def _is_verified(candidate: Candidate, keys: Sequence[PublicKey]) -> bool:
    return any(key.verifies(signature, candidate.signed) for key in keys for signature in candidate.signatures)
