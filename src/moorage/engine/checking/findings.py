"""A finding on its way: found, and perhaps mended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from moorage.api.checks import CheckFinding, CheckSummary, FindingKind, Outcome
from moorage.errors import MoorageError

Findings = AsyncIterator[CheckFinding]


@dataclass(slots=True, kw_only=True)
class Tally:
    """One run of the check: what it was asked for, and what it has looked at.

    Attributes:
        repair: Mend what can be mended.
        quick: Do not read contents.
        contents: Read every file of the layers as well, and not blobs alone.
        checked: How much was looked at, by kind.
    """

    repair: bool
    quick: bool
    contents: bool = False
    checked: dict[str, int] = field(default_factory=dict)
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))

    def count(self, what: str, number: int = 1) -> None:
        """Note that something was looked at."""
        self.checked[what] = self.checked.get(what, 0) + number

    async def settle(
        self, kind: FindingKind, subject: str, detail: str, mend: Callable[[], Awaitable[str]] | None, *, advice: str
    ) -> CheckFinding:
        """Return a finding, mended if that was asked for.

        Args:
            mend: Does it and says what was done; `CannotMendError` says why not. None where nothing can be done here.
            advice: What a person can do.
        """
        outcome, said = Outcome.FOUND, advice
        if self.repair:
            outcome = Outcome.LEFT
            if mend is not None:
                try:
                    outcome, said = Outcome.MENDED, await mend()
                except (MoorageError, OSError) as error:
                    outcome, said = Outcome.LEFT, str(error)
        self.outcomes[outcome] += 1
        return CheckFinding(kind=kind, subject=subject, detail=detail, outcome=outcome, advice=said)

    def summary(self) -> CheckSummary:
        """Return the end of the report."""
        mended = self.outcomes[Outcome.MENDED]
        found = sum(self.outcomes.values())
        return CheckSummary(checked=self.checked, found=found, mended=mended, left=found - mended)


class CannotMendError(MoorageError):
    """It must not, or can't, be mended now; the text says what to do."""
