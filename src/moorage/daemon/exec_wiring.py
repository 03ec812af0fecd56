"""Put together what adds processes to running containers."""

from functools import cached_property

from moorage.daemon.foundations import Foundations
from moorage.engine.containers.bundling import Bundler
from moorage.engine.exec.exits import ExecExits
from moorage.engine.exec.files import ExecFiles
from moorage.engine.exec.probing import CountedProber, ExecProber
from moorage.engine.exec.recovering import ExecRecovery
from moorage.engine.exec.starting import ExecStarter
from moorage.engine.exec.table import ExecTable


class ExecWiring:
    """The services of added processes; as in `Wiring`, each is made when it is first asked for."""

    def __init__(self, base: Foundations, *, bundler: Bundler) -> None:
        self._base = base
        self._bundler = bundler

    @cached_property
    def files(self) -> ExecFiles:
        """What the next daemon is told of the added processes."""
        return ExecFiles(self._base.paths)

    @cached_property
    def table(self) -> ExecTable:
        """The added processes."""
        return ExecTable(self.files)

    @cached_property
    def exits(self) -> ExecExits:
        """Records their end."""
        base = self._base
        return ExecExits(registry=base.registry, table=self.table, tasks=base.tasks, events=base.bus)

    @cached_property
    def starter(self) -> ExecStarter:
        """Starts them."""
        base = self._base
        return ExecStarter(
            registry=base.registry,
            table=self.table,
            tasks=base.tasks,
            bundler=self._bundler,
            paths=base.paths,
            files=self.files,
            events=base.bus,
            jobs=base.jobs,
            expect_move=base.moves.expect,
        )

    @cached_property
    def recovery(self) -> ExecRecovery:
        """Finds them again."""
        return ExecRecovery(table=self.table, files=self.files, exits=self.exits, jobs=self._base.jobs)

    @cached_property
    def prober(self) -> CountedProber:
        """Runs health checks' probes and counts them."""
        base = self._base
        return CountedProber(ExecProber(table=self.table, starter=self.starter, tasks=base.tasks, events=base.bus))
