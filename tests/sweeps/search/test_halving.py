"""Early stopping, called as Tune calls it. `test_trials.py` tests it within a sweep."""

from __future__ import annotations

from typing import cast

import pytest
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from sweeps.names import RUNG_METRICS
from sweeps.search.scheduler import Halving
from sweeps.search.space import build_space, first_rung
from weakdis_core.presets import preset

BASE = preset("default", "dsprites_v4")
SPACE = build_space(BASE, {})
RUNG = first_rung(SPACE, BASE)
NOBODY = cast(TuneController, None)


def judged(halving: Halving, trial_id: str, value: float) -> str:
    """Return the decision about a trial at the first rung."""
    trial = Trial("stub", stub=True, config={"trial_id": trial_id})
    halving.on_trial_add(NOBODY, trial)
    return halving.on_trial_result(NOBODY, trial, {"step": RUNG, RUNG_METRICS["pixels"]: value})


@pytest.mark.parametrize(("value", "decision"), [(0.2, "STOP"), (0.8, "CONTINUE")])
def test_earlier_sessions_count(value: float, decision: str) -> None:
    earlier = {"00001": [(RUNG, 0.1)], "00002": [(RUNG, 0.3)], "00003": [(RUNG, 0.5)]}
    assert judged(Halving("pixels", BASE, SPACE, earlier), "00004", value) == decision


def test_no_trial_is_stopped_before_three_have_reached_the_rung() -> None:
    halving = Halving("pixels", BASE, SPACE)
    decisions = [judged(halving, f"{number}", 1 / number) for number in range(1, 5)]
    assert decisions == ["CONTINUE", "CONTINUE", "CONTINUE", "STOP"]


def test_a_resumed_trial_keeps_the_rungs_that_it_has_reached() -> None:
    earlier = {"00001": [(RUNG, 0.1)], "00002": [(RUNG, 0.3)], "00003": [(RUNG, 0.5)]}
    assert judged(Halving("pixels", BASE, SPACE, earlier), "00001", 0.1) == "CONTINUE"


def test_the_schedule_covers_the_full_trial() -> None:
    halving = Halving("pixels", BASE, SPACE)
    assert (halving._time_attr, halving._max_t) == ("step", BASE.training.steps)
