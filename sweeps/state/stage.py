"""A sweep, and the trials of one of its stages."""

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
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.trial import Stage, seconds_of_a_trial
from weakdis_core.config.config import Config

REPORT_FILE = "report.html"


@dataclass(frozen=True)
class Sweep:
    """One variant's sweep.

    Attributes:
        name: Its name.
        folder: Its folder on this machine.
        settings: What the user asked for.
        base: The settings that its trials share, with the data source resolved.
        space: The settings that it searches.
        prepared: Folder of the prepared images.
        allotment: Resources of a trial.
        moved: Whether another machine ran it before and is gone.
        claim: The lock that keeps other machines from running it.
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
        """Command that resumes the sweep from this folder."""
        return resume_command(self.folder, self.settings, self.base.data.variant)

    @property
    def storage(self) -> Storage:
        """Storage of the checkpoints."""
        return self.settings.checkpoints


def resume_command(folder: Path, settings: SweepSettings, variant: str) -> str:
    """Return the command that resumes the sweep of a folder, without any password."""
    usual = folder.parent == Path("runs").absolute()
    words = ["--resume", folder.name if usual else str(folder)]
    if settings.study is not None:
        words = ["--study", settings.study, "--variant", variant]
        words += [] if usual else ["--storage", str(folder.parent)]
    if settings.optuna_storage is not None:
        words += ["--optuna-storage", without_password(settings.optuna_storage)]
    return shlex.join(["python", "sweeps/run.py", *words])


@dataclass
class StageRun:
    """The trials of one stage of a sweep, in this session.

    Attributes:
        sweep: The sweep.
        stage: What the trials are for.
        study: Their Optuna study.
        trials: Their records.
        budget: Decides when to stop.
    """

    sweep: Sweep
    stage: Stage
    study: Study
    trials: Trials
    budget: Budget

    def enough_time(self) -> bool:
        """Check whether the time left suffices for an average complete trial."""
        return self.budget.left > seconds_of_a_trial(self.trials.complete())
