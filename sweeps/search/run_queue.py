"""Declared runs as trials of an Optuna study.

Each is a trial without parameters, with the configuration as a user attribute: Optuna's samplers
and importances cannot read a study whose parameters change from trial to trial.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from sweeps.compat import start_waiting
from sweeps.names import Space
from sweeps.trial import VALUES, values_of
from weakdis_core.config.config import Config, validated
from weakdis_core.config.settings import RuntimeSettings
from weakdis_core.rows import DeclaredRun

_RUN, _KEY = "run", "key"


@dataclass(frozen=True)
class QueuedRun:
    """A run to train.

    Attributes:
        run: The run.
        values: Settings by dotted name that distinguish it in its study, or its row and seed.
    """

    run: DeclaredRun
    values: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Identifier of the run within its study."""
        return f"{self.run.key().run_id} {self.run.row}"


def with_runtime(run: DeclaredRun, runtime: RuntimeSettings | None = None) -> DeclaredRun:
    """Return a run in float32, with the given runtime settings or its own ones."""
    own = (runtime or run.config.runtime).model_copy(update={"precision": "float32"})
    return replace(run, config=run.config.model_copy(update={"runtime": own}))


def enqueue_runs(
    study: Study, runs: Iterable[QueuedRun], base: Config, retrain: bool = False
) -> None:
    """Add the runs that a study does not have yet; with `retrain`, ended ones again.

    Trials of earlier versions store only their changes to `base`.
    """
    known = {
        key_of(trial, base)
        for trial in study.get_trials(deepcopy=False)
        if not (retrain and trial.state.is_finished())
    }
    for queued in runs:
        if queued.key not in known:
            run = asdict(queued.run) | {"config": queued.run.config.to_dict()}
            attributes = {_RUN: run, VALUES: dict(queued.values), _KEY: queued.key}
            study.enqueue_trial({}, user_attrs=attributes)


def key_of(trial: FrozenTrial, base: Config) -> str:
    """Return the identifier of a trial's run, under the versions that it was declared with."""
    return str(trial.user_attrs.get(_KEY) or load_run(trial, base).key)


def load_run(trial: FrozenTrial, base: Config) -> QueuedRun:
    """Load the run of a trial.

    Raises:
        UserError: Its settings are those of another version.
    """
    values, stored = values_of(trial), trial.user_attrs.get(_RUN)
    if stored is None:
        return QueuedRun(DeclaredRun("", base.with_values(values), "raw"), values)
    return QueuedRun(DeclaredRun(**stored | {"config": validated(stored["config"])}), values)


class QueuedTrials:
    """Trials of runs that wait in a study.

    Args:
        study: The study.
        base: Settings of the sweep, for the trials of earlier versions.
        wanted: Keys of the runs to train, by default all.
    """

    def __init__(self, study: Study, base: Config, wanted: Collection[str] | None = None) -> None:
        self.space: Space = {}
        self._study = study
        self._base = base
        self._wanted = wanted
        self._waiting = deque(self._trials(TrialState.WAITING))

    @property
    def left(self) -> int:
        """Number of runs that have not ended."""
        return len(self._waiting) + len(self.unfinished())

    def unfinished(self) -> list[FrozenTrial]:
        """List the trials that an earlier session left RUNNING."""
        return self._trials(TrialState.RUNNING)

    def take(self) -> Trial | None:
        """Start the next waiting run; None if none is left."""
        while self._waiting:
            trial = start_waiting(self._study, self._waiting.popleft())
            if trial is not None:
                return trial
        return None

    def settings(self, trial: Trial) -> dict[str, Any]:
        """Return the configuration of a run, its values, and how it is scored."""
        queued = load_run(self._study.get_trials(deepcopy=False)[trial.number], self._base)
        config, values = queued.run.config.to_dict(), dict(queued.values)
        return {"config": config, "values": values, "disentanglement": queued.run.disentanglement}

    def _trials(self, state: TrialState) -> list[FrozenTrial]:
        found = self._study.get_trials(deepcopy=False, states=[state])
        if self._wanted is None:
            return found
        return [trial for trial in found if key_of(trial, self._base) in self._wanted]
