"""A sweep, and the trials of one of its stages: what the rest of the package works with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from optuna.study import Study

from sweeps.budget import Budget
from sweeps.cluster.addresses import without_password
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.locks import StudyLock
from sweeps.cluster.storage import Storage
from sweeps.names import Space
from sweeps.state.ledger import Ledger
from sweeps.sweep_settings import SweepSettings
from sweeps.trial import Stage, seconds_of_a_trial
from weakdis_core.config.config import Config


@dataclass(frozen=True)
class Sweep:
    """One variant's sweep.

    Attributes:
        name: Its name.
        folder: Where everything about it lies.
        settings: What the user asked for.
        base: The settings its trials share, with the data source resolved.
        space: What is searched.
        prepared: Folder of the prepared images.
        allotment: What a trial gets.
        moved: Whether another machine ran it before, and is gone.
        claim: What keeps other machines from running it.
    """

    name: str
    folder: Path
    settings: SweepSettings
    base: Config
    space: Space
    prepared: Path
    allotment: Allotment
    moved: bool = False
    claim: StudyLock = field(default_factory=StudyLock)

    @property
    def resume_command(self) -> str:
        """The command that goes on with it, from this folder; a password is left out."""
        settings, usual = self.settings, self.folder.parent == Path("runs").absolute()
        words = ["--resume", self.name if usual else str(self.folder)]
        if settings.study is not None:
            words = ["--study", settings.study, "--variant", self.base.data.variant]
            words += [] if usual else ["--storage", str(self.folder.parent)]
        if settings.optuna_storage is not None:
            words += ["--optuna-storage", without_password(settings.optuna_storage)]
        return shlex.join(["python", "sweeps/run.py", *words])

    @property
    def storage(self) -> Storage:
        """Where its checkpoints lie."""
        return self.settings.checkpoints


@dataclass
class StageRun:
    """The trials of one stage of a sweep, in this session.

    Attributes:
        sweep: The sweep.
        stage: What the trials are for.
        study: Their Optuna study.
        ledger: Account of what became of each.
        budget: When to stop.
    """

    sweep: Sweep
    stage: Stage
    study: Study
    ledger: Ledger
    budget: Budget

    def enough_time(self) -> bool:
        """Whether another trial can end in the time left, going by the complete ones."""
        return self.budget.left > seconds_of_a_trial(self.ledger.complete())
