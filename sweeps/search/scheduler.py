"""Early stopping: ASHA over training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from sweeps.compat import Bracket, rungs_of, set_bracket
from sweeps.flags import Objective
from sweeps.names import RUNG_METRICS, Space
from sweeps.search.space import first_rung
from weakdis_core.config.config import Config

REDUCTION_FACTOR = 3


class _PatientBracket(Bracket):
    """Stops no trial before three have reached a rung; Ray's bracket stops the second one."""

    def cutoff(self, recorded: dict[str, float]) -> Any:
        return super().cutoff(recorded) if len(recorded) >= self.rf else None


class Halving(ASHAScheduler):
    """Continues the best third of the trials at each rung.

    Args:
        objective: The objective, which decides the metric of the rungs.
        config: The settings that every trial shares.
        space: The settings that are searched.
        earlier: Step and value of each report of earlier sessions, by trial id.
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
        """Add a trial; one of an earlier session keeps the rungs that it has reached."""
        super().on_trial_add(tune_controller, trial)
        for recorded in rungs_of(self._bracket):
            if (value := recorded.pop(trial.config["trial_id"], None)) is not None:
                recorded[trial.trial_id] = value

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Choose a pending trial; without any, skip Ray's slow scan of all trials."""
        live = tune_controller.get_live_trials()  # type: ignore[no-untyped-call]
        pending = any(trial.status == Trial.PENDING for trial in live)
        return super().choose_trial_to_run(tune_controller) if pending else None
