"""Early stopping: ASHA over training steps, fair to long warmups and to the first trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from sweeps.compat import Bracket, rungs_of, set_bracket
from sweeps.names import RUNG_METRICS, Objective, Space
from sweeps.search.space import first_rung
from weakdis_core.config.config import Config

REDUCTION_FACTOR = 3


class _PatientBracket(Bracket):
    """Stops nobody until a third can be told: Ray's compares the second trial with the first."""

    def cutoff(self, recorded: dict[str, float]) -> Any:
        return super().cutoff(recorded) if len(recorded) >= self.rf else None


class Halving(ASHAScheduler):
    """Lets the best third of the trials go on at each rung.

    The horizon is the full trial's, whatever the time budget: learning rates and stages are
    defined on it, so that values at equal steps compare.

    Args:
        objective: What the sweep optimises; decides the metric of the rungs.
        config: The settings that every trial shares.
        space: What is searched.
        earlier: What earlier sessions saw: step and value of each report, by trial id. Tune saves
            no rungs.
    """

    def __init__(
        self,
        objective: Objective,
        config: Config,
        space: Space,
        earlier: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    ) -> None:
        steps, rung = config.training.steps, first_rung(space, config)
        super().__init__(
            time_attr="step",
            metric=RUNG_METRICS[objective],
            mode="max",
            max_t=steps,
            grace_period=rung,
            reduction_factor=REDUCTION_FACTOR,
        )
        self._bracket = _PatientBracket(rung, steps, REDUCTION_FACTOR, 0)
        set_bracket(self, self._bracket)
        for trial_id, reports in (earlier or {}).items():
            seen = cast(Trial, SimpleNamespace(trial_id=trial_id))
            for step, value in reports:
                self._bracket.on_result(seen, step, value)

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Take a trial in. One that goes on stays on the rungs that it has reached."""
        super().on_trial_add(tune_controller, trial)
        for recorded in rungs_of(self._bracket):
            if (value := recorded.pop(trial.config["trial_id"], None)) is not None:
                recorded[trial.trial_id] = value

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Choose the first pending trial. Ray's scans all trials, ended ones too, at each step."""
        live = tune_controller.get_live_trials()  # type: ignore[no-untyped-call]
        pending = any(trial.status == Trial.PENDING for trial in live)
        return super().choose_trial_to_run(tune_controller) if pending else None
