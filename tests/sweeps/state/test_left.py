"""What is left of a sweep: in the plan, and when its time is over."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console

from sweeps.budget import Budget, Interruption
from sweeps.cli.sweep_plan import WorkLeft, find_work_left, print_plan
from sweeps.cluster.allotment import Allotment
from sweeps.search.space import build_space
from sweeps.state.catalog import find_sweep
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.state.trials import Trials
from sweeps.sweep import count_without_time
from sweeps.sweep_settings import SweepSettings
from sweeps.trial import TrialRecord
from tests.sweeps.support.kept import VARIANT, a_stored_sweep

SMALL = ("data.max_images=1000", "model.channels=8", "model.hidden=32")


@pytest.fixture
def cut(tmp_path: Path) -> SweepSettings:
    """A sweep of 7 trials to resume: 1 has ended in 100 seconds, 1 was cut short."""
    fixed = [part for size in SMALL for part in ("--set", size)]
    settings = a_stored_sweep(tmp_path, "one", "--preset", "quick", "--max-concurrent", "1", *fixed)
    study = find_sweep(settings, "one").study
    study.tell(0, 0.5)
    TrialStore(study).save(
        TrialRecord(0, "00000", {}, "complete", 30, score=0.5, seconds=100.0), 600.0
    )
    study.ask(build_space(settings.base_config(VARIANT), {}))
    return settings.model_copy(update={"resume": "one"})


def test_the_plan_of_a_resumed_sweep_shows_what_is_left(cut: SweepSettings) -> None:
    file = io.StringIO()
    print_plan(cut, Console(file=file, width=200))
    text = file.getvalue()
    for word in ("what is left of one", "at most 6 more of 7, 1 at once", "ends after 4:00 in any"):
        assert word in text
    assert find_work_left(cut.model_copy(update={"resume": None}), "one") == WorkLeft(7, 840.0, 0)


def test_the_plan_counts_remaining_confirm_runs(cut: SweepSettings) -> None:
    asked = cut.model_copy(update={"trials": 1, "confirm_seeds": 3})
    assert find_work_left(asked, "one") == WorkLeft(0, 240.0, 3)
    space = build_space(asked.base_config(VARIANT), {})
    confirm = open_study(open_storage(cut.folder / "one"), "one/confirm", "pixels", space)
    for _ in range(3):
        confirm.enqueue_trial({})
    confirm.tell(confirm.ask(space), 0.5)
    assert find_work_left(asked, "one") == WorkLeft(0, 240.0, 2)


@pytest.mark.parametrize(
    ("budget", "without", "all_ended"),
    [(600.0, 6, 6), (650.0, 0, 5), (800.0, 0, 0)],
    ids=["none", "for what was cut short", "enough"],
)
def test_trials_without_time_are_counted(
    cut: SweepSettings, budget: float, without: int, all_ended: int
) -> None:
    base = cut.base_config(VARIANT)
    study, place = find_sweep(cut, "one").study, cut.folder / "one"
    allotment = Allotment(1.0, 0.0, 1)
    sweep = Sweep("one", place, cut, base, build_space(base, {}), place, allotment)
    spent = Budget(budget, Interruption(), TrialStore(study).seconds)
    trials = Trials("pixels", base.training.steps, spent, TrialStore(study).load())
    run = StageRun(sweep, "search", study, trials, spent)
    assert count_without_time(run) == without
    if budget > 600:
        study.tell(1, state=TrialState.FAIL)
    assert count_without_time(run) == all_ended
