"""The searcher with a real Optuna study: every trial ends in the right state."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.flags import Sampler
from sweeps.search.searcher import DrawnTrials, StudySearcher
from sweeps.state.study import make_sampler
from sweeps.state.trial_store import REFUSED, TrialStore, count_remaining, end_out_of_time
from tests.sweeps.support.played import PIXELS, SPACE, STEPS, Playing, a_run, a_study


def test_a_suggestion_is_inside_the_space(tmp_path: Path) -> None:
    suggestion = Playing(a_study(tmp_path)).searcher.suggest("t1")
    assert suggestion is not None
    for name, value in suggestion["values"].items():
        assert SPACE[name]._contains(SPACE[name].to_internal_repr(value))
    assert (suggestion["number"], suggestion["trial_id"]) == (0, "00000")
    assert suggestion["checkpoints"] == []


def test_asking_twice_for_a_trial_gives_the_same(tmp_path: Path) -> None:
    searcher = Playing(a_study(tmp_path)).searcher
    assert searcher.suggest("t1") == searcher.suggest("t1")


def test_the_last_step_completes_a_trial(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", (25, None), (50, 0.2), (STEPS, 0.7))
    trial = study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.7)
    assert trial.intermediate_values == {50: 0.2, STEPS: 0.7}


def test_a_trial_stopped_early_is_pruned_with_its_value(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", (50, 0.3))
    trial = study.trials[0]
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {50: 0.3})


@pytest.mark.parametrize(
    ("reports", "error"),
    [
        ([], True),
        ([(STEPS, 0.5)], True),
        ([(STEPS, float("nan"))], False),
        ([(STEPS, float("inf"))], False),
        ([(STEPS, None)], False),
    ],
)
def test_errors_and_missing_values_fail(
    reports: list[tuple[int, float | None]], error: bool, tmp_path: Path
) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", *reports, error=error)
    assert study.trials[0].state == TrialState.FAIL


def test_a_trial_that_reports_an_error_fails(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.start("t1").error = "the loss is NaN"
    playing.searcher.on_trial_complete("t1", {})
    assert study.trials[0].state == TrialState.FAIL


def test_a_result_after_the_end_changes_nothing(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.play("t1", (STEPS, 0.7))
    playing.searcher.on_trial_result("t1", {"step": STEPS, PIXELS: 0.1})
    playing.searcher.on_trial_complete("t1", None, error=True)
    assert study.trials[0].value == 0.7


def test_the_search_ends_when_time_does(tmp_path: Path) -> None:
    # Even if no trial has ended yet.
    run = a_run(a_study(tmp_path), seconds=0.0)
    searcher = StudySearcher(run, DrawnTrials(run))
    suggestion: object = searcher.suggest("t1")
    assert suggestion == Searcher.FINISHED


def test_the_search_ends_with_its_last_trial(tmp_path: Path) -> None:
    run = a_run(a_study(tmp_path), wanted=2)
    searcher = StudySearcher(run, DrawnTrials(run))
    for number in range(2):
        assert searcher.suggest(f"t{number}") is not None
    # None of them has started yet.
    assert searcher.suggest("another") is None


def test_pareto_has_two_values_and_prunes_too(tmp_path: Path) -> None:
    study = a_study(tmp_path, "pareto")
    playing = Playing(study, "pareto")
    playing.play("t1", (50, 0.2), (STEPS, 0.7))
    playing.play("t2", (50, 0.1))
    playing.report("t3", playing.start("t3"), 50, 0.3)
    playing.start("t4")
    playing.budget.seconds = 0.0
    end_out_of_time(playing.run)
    *states, unseen = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED]
    assert unseen == TrialState.RUNNING
    assert study.trials[0].values == [0.7, study.trials[0].params["data.labels"]]


OUTSIDE = [
    ("model.latent_size", 10, "one of (4, 6, 8, 12, 16)"),
    ("model.latent_size", "8", "one of (4, 6, 8, 12, 16)"),
    ("data.labels", None, "one of (30, 100, 300, 1000)"),
    ("loss.lambda", 100.0, "a number from 0.3 to 8"),
    ("loss.lambda", "strong", "a number from 0.3 to 8"),
    ("training.warmup", float("nan"), "a number from 0.02 to 0.25"),
    ("training.warmup", [0.1], "a number from 0.02 to 0.25"),
]


@pytest.mark.parametrize(
    ("when", "sampler"),
    [("before the session", "tpe"), ("in the session", "random"), ("left RUNNING", "nsga2")],
)
@pytest.mark.parametrize(("name", "value", "allowed"), OUTSIDE)
def test_the_search_refuses_a_trial_outside_the_space(
    name: str, value: object, allowed: str, when: str, sampler: Sampler, tmp_path: Path
) -> None:
    study = a_study(tmp_path)
    study.sampler = make_sampler(sampler, 0, 10)
    Playing(study).play("t0", (STEPS, 0.4))
    session = Playing(study) if when == "in the session" else None
    study.enqueue_trial({"model.latent_size": 4, name: value})
    if when == "left RUNNING":
        study.ask()
    session = session or Playing(study)
    session.play("t1", (STEPS, 0.5))
    # It does not count among the 100 wanted trials.
    source = session.searcher._source
    assert isinstance(source, DrawnTrials)
    assert source._left == 98
    assert count_remaining(study, 100) == 98
    trial = study.trials[1]
    reason = f"{name}: {value!r} is outside the search space; it must be {allowed}"
    assert (trial.state, trial.user_attrs[REFUSED]) == (TrialState.FAIL, reason)
    assert study.trials[2].value == 0.5
    refused = session.trials.records["00001"]
    assert (refused.outcome, refused.error, refused.mended) == ("failed", reason, True)
    # The record of the next session has the same reason.
    again = Playing(study)
    assert TrialStore(study).load()["00001"].error == reason
    assert again.start("t2").number == 3


def test_a_trial_enqueued_inside_the_space_is_run(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    study.enqueue_trial({"model.latent_size": 8.0, "loss.lambda": 1, "unknown": "text"})
    record = Playing(study).start("t0")
    assert (record.number, record.values["model.latent_size"], record.values["loss.lambda"]) == (
        0, 8, 1,
    )  # fmt: skip
