"""A sweep read from MLflow: its search space, trials and winner."""

from __future__ import annotations

import pytest

from analysis.data.runs import read_runs
from analysis.data.setting_importance import FEWEST, compute_importances
from analysis.data.tracked_sweep import HISTORY, TrackedSweep, build_study, find_sweep, read_history
from tests.analysis.searched import BEGAN, EVALUATIONS, SCORE, SPACE, config, score, search
from tests.analysis.tracked import Store
from weakdis_core.errors import UserError


def found(store: Store, name: str | None = None, variant: str | None = None) -> TrackedSweep:
    return find_sweep(store.client, read_runs(store.uri), name, variant)


def test_a_sweep_is_read_back(store: Store) -> None:
    run = search(store, confirm=(0.9,))
    sweep = found(store)
    assert (sweep.run.info.run_id, sweep.name, sweep.variant) == (run, "tried", "dsprites_v2")
    assert sweep.space == SPACE
    assert sweep.metric == SCORE
    assert len(sweep.trials) == 12
    assert sweep.confirmed["trial_id"].tolist() == ["confirm-00001"]
    assert len(sweep.complete) == 10
    best = sweep.best
    assert best is not None
    # Number 12 has the most labels and the most of the rest.
    assert best["trial_id"] == "00012"
    assert best[SCORE] == pytest.approx(score(11))
    # Early stopping took trial 2 half way.
    steps = config(0).training.steps
    assert sweep.trials["step"].tolist()[:3] == [steps, steps // 2, steps]


def test_a_sweep_is_found_by_name_run_and_variant(store: Store) -> None:
    first = search(store, "first", trials=1)
    second = search(store, "second", "dsprites_v3", trials=1, at=BEGAN + 1)
    assert found(store, "first").run.info.run_id == first
    assert found(store, second).name == "second"
    assert found(store, variant="dsprites_v2").name == "first"
    for name, variant, reason in (
        ("third", None, r"sweep: there is no 'third'; there are: first, second"),
        (None, "shapes3d_v2", r"variant: no sweep of 'shapes3d_v2' .*: dsprites_v2, dsprites_v3"),
        ("first", "dsprites_v3", r"sweep: there is no 'first'; there are: second"),
    ):
        with pytest.raises(UserError, match=reason):
            found(store, name, variant)
    again = search(store, "first", "dsprites_v4", trials=1)
    with pytest.raises(
        UserError, match=f"several sweeps; give a run's id: .*{again} \\(dsprites_v4\\)"
    ):
        found(store, "first")


def test_a_store_without_sweeps(store: Store) -> None:
    with pytest.raises(UserError, match="sweep: there is none in this store"):
        found(store)


def test_best_is_the_recorded_choice_of_an_ended_sweep(store: Store) -> None:
    for status, expected in (("RUNNING", "00012"), ("FINISHED", "00011")):
        run = search(store, status.lower(), status=status)
        store.client.set_tag(run, "best_trial_id", "00011")
        best = found(store, status.lower()).best
        assert best is not None
        assert best["trial_id"] == expected


def test_a_sweep_without_a_score_has_no_best(store: Store) -> None:
    search(store, trials=0, status="RUNNING")
    assert found(store).best is None
    assert found(store).scored.empty


def test_best_is_incomplete_if_no_trial_is_complete(store: Store) -> None:
    search(store, trials=3, pruned=(0, 1, 2))
    best = found(store).best
    assert best is not None
    assert best["outcome"] == "pruned"


def test_history_has_every_report(store: Store) -> None:
    search(store, trials=2)
    runs = found(store).trials["run_id"]
    history = read_history(store.client, runs, [SCORE, "seconds", "no such metric"])
    assert tuple(history.columns) == HISTORY
    # The second trial was stopped half way.
    assert len(history) == 2 * (EVALUATIONS + EVALUATIONS // 2)
    own = history[history["run_id"].eq(runs.iloc[0]) & history["metric"].eq(SCORE)]
    assert own["value"].is_monotonic_increasing
    assert own["value"].iloc[-1] == pytest.approx(score(0))


def test_study_contains_the_search_trials(store: Store) -> None:
    search(store)
    study = build_study(found(store))
    assert len(study.trials) == 12
    assert study.best_trial.params == {
        name: value for name, value in config(11).flat().items() if name in SPACE
    }


def test_scores_of_failed_trials_do_not_count(store: Store) -> None:
    search(store, failed=(11,))
    sweep = found(store)
    assert len(build_study(sweep).trials) == 11
    assert sweep.best is not None
    assert sweep.best["trial_id"] != "00012"


@pytest.mark.slow
def test_important_setting_is_ranked_first(store: Store) -> None:
    search(store, trials=24, pruned=())
    table = compute_importances(build_study(found(store)), resamples=10)
    assert table["setting"].iloc[0] == "data.labels"
    assert table["importance"].sum() == pytest.approx(1.0, abs=1e-6)
    assert (table["low"] <= table["importance"]).all()
    assert (table["importance"] <= table["high"]).all()
    again = compute_importances(build_study(found(store)), resamples=10)
    assert again.equals(table)


def test_too_few_trials_give_no_importances(store: Store) -> None:
    search(store, trials=FEWEST - 1, pruned=())
    assert compute_importances(build_study(found(store))).empty
