"""The searcher against a real Optuna study: every trial ends in the state that is true."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.settings import Objective, Sampler
from sweeps.space import LABELS_METRIC, METRICS, build_space
from sweeps.study import (
    StudySearcher,
    end_running,
    export_study,
    make_sampler,
    open_storage,
    open_study,
)
from weakdis_core.errors import UserError
from weakdis_core.presets import preset

STEPS = 100
SPACE = build_space(preset("default", "dsprites_v4"), {})
PIXELS = METRICS["pixels"]


def a_study(folder: Path, objective: Objective = "pixels") -> Study:
    sampler = make_sampler("random", 0, 10)
    return open_study(open_storage(folder), "dsprites_v4", objective, SPACE, sampler)


def a_searcher(study: Study, objective: Objective = "pixels") -> StudySearcher:
    return StudySearcher(study, SPACE, objective, STEPS)


def report(step: int, score: float | None, labels: int = 100) -> dict[str, float]:
    result: dict[str, float] = {"step": step, LABELS_METRIC: labels}
    return result if score is None else result | {PIXELS: score}


def test_a_suggestion_is_inside_the_space(tmp_path: Path) -> None:
    suggestion = a_searcher(a_study(tmp_path)).suggest("t1")
    assert suggestion is not None
    for name, value in suggestion["values"].items():
        assert SPACE[name]._contains(SPACE[name].to_internal_repr(value))


def test_asking_twice_for_a_trial_gives_the_same(tmp_path: Path) -> None:
    searcher = a_searcher(a_study(tmp_path))
    assert searcher.suggest("t1") == searcher.suggest("t1")


def test_the_last_step_completes_a_trial(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    searcher = a_searcher(study)
    searcher.suggest("t1")
    searcher.on_trial_result("t1", report(25, None))
    searcher.on_trial_result("t1", report(50, 0.2))
    searcher.on_trial_complete("t1", report(STEPS, 0.7))
    trial = study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.7)
    assert trial.intermediate_values == {50: 0.2}
    assert trial.user_attrs == {"trial_id": "t1"}


def test_a_trial_stopped_early_is_pruned_with_its_value(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    searcher = a_searcher(study)
    searcher.suggest("t1")
    # Tune marks the last result of a stopped trial as done too.
    searcher.on_trial_complete("t1", report(50, 0.3) | {"done": True})
    trial = study.trials[0]
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {50: 0.3})


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (None, True),
        (report(STEPS, 0.5), True),
        (report(STEPS, float("nan")), False),
        (report(STEPS, float("inf")), False),
        (report(STEPS, None), False),
        (None, False),
    ],
)
def test_errors_and_missing_values_fail(
    result: dict[str, float] | None, error: bool, tmp_path: Path
) -> None:
    study = a_study(tmp_path)
    searcher = a_searcher(study)
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", result, error)
    assert study.trials[0].state == TrialState.FAIL


def test_nothing_is_left_running(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    searcher = a_searcher(study)
    searcher.suggest("seen")
    searcher.suggest("unseen")
    searcher.on_trial_result("seen", report(50, 0.3))
    end_running(study)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.FAIL]


def test_a_result_after_the_end_changes_nothing(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    searcher = a_searcher(study)
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", report(STEPS, 0.7))
    searcher.on_trial_result("t1", report(STEPS, 0.1))
    searcher.on_trial_complete("t1", None, error=True)
    assert study.trials[0].value == 0.7


def test_the_search_ends_when_time_does(tmp_path: Path) -> None:
    searcher = StudySearcher(a_study(tmp_path), SPACE, "pixels", STEPS, lambda: False)
    suggestion: object = searcher.suggest("t1")
    assert suggestion == Searcher.FINISHED


def test_pareto_has_two_values_and_prunes_too(tmp_path: Path) -> None:
    study = a_study(tmp_path, "pareto")
    searcher = a_searcher(study, "pareto")
    for name in ("t1", "t2", "t3"):
        searcher.suggest(name)
    searcher.on_trial_result("t1", report(50, 0.2))
    searcher.on_trial_complete("t1", report(STEPS, 0.7, labels=300))
    searcher.on_trial_complete("t2", report(50, 0.1))
    end_running(study)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert study.trials[0].values == [0.7, 300]


def test_the_searcher_finds_its_trials_again(tmp_path: Path) -> None:
    searcher = a_searcher(a_study(tmp_path))
    searcher.suggest("t1")
    searcher.save(str(tmp_path / "state"))
    study = a_study(tmp_path)
    again = a_searcher(study)
    again.restore(str(tmp_path / "state"))
    again.on_trial_complete("t1", report(STEPS, 0.4))
    assert [trial.value for trial in study.trials] == [0.4]


def test_studies_are_named_after_variant_space_and_objective(tmp_path: Path) -> None:
    first, second = a_study(tmp_path), a_study(tmp_path, "latent")
    assert first.study_name.startswith("dsprites_v4-")
    assert first.study_name != second.study_name


def test_another_direction_is_refused(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    name = a_study(tmp_path).study_name
    optuna.delete_study(study_name=name, storage=storage)
    optuna.create_study(study_name=name, storage=storage, direction="minimize")
    with pytest.raises(UserError, match="found directions minimize"):
        a_study(tmp_path)


def test_samplers() -> None:
    assert isinstance(make_sampler("tpe", 0, 20), TPESampler)
    assert isinstance(make_sampler("random", 0, 20), RandomSampler)
    assert isinstance(make_sampler("nsga2", 0, 20), NSGAIISampler)


def test_the_export_is_readable_json(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    searcher = a_searcher(study)
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", report(STEPS, 0.7))
    export_study(study, tmp_path / "study.json")
    text = (tmp_path / "study.json").read_text()
    assert '"COMPLETE"' in text
    assert '"trial_id": "t1"' in text


@pytest.mark.parametrize("objective", ["pixels", "pareto"])
@pytest.mark.parametrize("name", ["tpe", "random", "nsga2"])
def test_every_sampler_serves_every_objective(
    name: Sampler, objective: Objective, tmp_path: Path
) -> None:
    storage, sampler = InMemoryStorage(), make_sampler(name, 0, 12)
    study = open_study(storage, "dsprites_v4", objective, SPACE, sampler)
    searcher = a_searcher(study, objective)
    for number in range(24):
        trial = str(number)
        suggestion = searcher.suggest(trial)
        assert suggestion is not None
        labels = suggestion["values"]["data.labels"]
        step = STEPS if number % 3 else 50
        searcher.on_trial_complete(trial, report(step, number / 24, labels))
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) == 8
    assert states.count(TrialState.COMPLETE) == 16
