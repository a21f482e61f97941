"""Trials that were killed or ran out of time continue, and none is lost."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from rich.console import Console

from sweeps.cluster.allotment import Allotment
from sweeps.search.space import starting_point
from sweeps.search.tuner import open_search_study
from sweeps.state.stage import Sweep
from sweeps.state.trial_store import (
    TrialStore,
    count_remaining,
    end_out_of_time,
    enqueue_failed_for_time,
)
from sweeps.state.trials import STARTS
from sweeps.sweep import count_without_time, search
from sweeps.sweep_settings import SweepSettings
from sweeps.trainable import CHECKPOINT_FILE, _saved
from sweeps.trial import FIRST
from tests.sweeps.support.played import BASE, SPACE, STEPS, Playing, a_study
from weakdis_core.presets import preset


def test_trials_without_a_score_continue_when_there_is_more_time(
    tmp_path: Path,
) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    seen = playing.start("seen")
    unseen = playing.start("unseen")
    unseen.checkpoints = ["one/search-1/00001/checkpoint_000001"]
    asked = playing.searcher.suggest("asked for only")
    playing.report("seen", seen, 50, 0.3)
    playing.budget.seconds = 0.0
    end_out_of_time(playing.run)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING]
    known = TrialStore(study).load().values()
    assert [(each.outcome, each.mended) for each in known] == [("out_of_time", False)] * 2
    # The plan counts trials without a score.
    assert (count_remaining(study, 3), count_remaining(study, 30)) == (2, 29)
    # With more time they come next, the started one from its checkpoint.
    again = Playing(study)
    given = again.searcher.suggest("again")
    assert given is not None
    assert (given["number"], given["values"]) == (unseen.number, unseen.values)
    assert given["checkpoints"] == unseen.checkpoints
    assert again.searcher.suggest("asked again") == asked
    assert again.start("another").number == 3


@pytest.mark.parametrize("reports", [[], [(25, None)]])
def test_trials_without_a_score_continue_after_every_end_of_time(
    reports: list[tuple[int, float | None]], tmp_path: Path
) -> None:
    study = a_study(tmp_path)
    study.enqueue_trial(starting_point(SPACE, BASE) or {})
    for _ in range(3):
        session = Playing(study)
        record = session.start("t1")
        for step, score in reports:
            session.report("t1", record, step, score)
        session.budget.seconds = 0.0
        end_out_of_time(session.run)
        assert (record.number, record.outcome) == (0, "out_of_time")
        assert record.values == starting_point(SPACE, BASE)
        assert count_without_time(session.run) == 100
    again = Playing(study)
    again.play("t1", (STEPS, 0.5))
    assert [trial.value for trial in study.trials] == [0.5]
    assert again.start("t2").number == 1


def test_trials_that_an_earlier_version_failed_for_time_are_retried(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    study.set_user_attr(FIRST, 1)
    study.enqueue_trial(starting_point(SPACE, BASE) or {})
    earlier = Playing(study)
    for tune_id, score in (("without", None), ("with", 0.3)):
        record = earlier.start(tune_id)
        record.outcome, record.score = "out_of_time", score
        record.checkpoints = [f"one/search-1/{record.trial_id}/checkpoint_000001"]
        TrialStore(study).save(record, 10.0)
        study.tell(record.number - 1, state=TrialState.FAIL)
    assert count_remaining(study, 2) == 1
    for _ in range(2):
        # Only the first call enqueues it.
        enqueue_failed_for_time(study)
        assert (len(study.trials), count_remaining(study, 2)) == (3, 1)
    given = Playing(study).searcher.suggest("again")
    assert given is not None
    assert (given["number"], given["values"]) == (3, starting_point(SPACE, BASE))
    assert given["checkpoints"] == ["one/search-1/00001/checkpoint_000001"]
    assert TrialStore(study).seconds == 10.0


@pytest.mark.parametrize(("errors", "first"), [([], ""), (["it fails"], "it fails; ")])
def test_a_sweep_without_a_score_prints_the_command_that_goes_on(
    errors: list[str], first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    playing = Playing(a_study(tmp_path))
    playing.start("t1").error = "".join(errors)
    playing.budget.seconds = 1.0
    playing.budget._spent = 2.6
    playing.trials.cut_short()
    output = io.StringIO()
    session: Any = SimpleNamespace(**vars(playing.run), console=Console(file=output))
    monkeypatch.setattr("sweeps.sweep._run_trials", lambda session: None)
    session.enough_time = playing.run.enough_time
    assert not search(session)
    command = f"go on with {playing.run.sweep.resume_command} --time-budget 6"
    assert output.getvalue() == (
        "a sweep: no time for the 100 trials that are left: 3 of 1 s are spent; "
        f"{command}\na sweep: no trial has a result: {first}the time budget of 1 s ended before "
        f"any trial had a score; {command}\n"
    )


def test_an_interrupted_trial_keeps_running_in_the_study_while_time_is_left(tmp_path: Path) -> None:
    # This happens if a sweep is resumed with no more trials than have ended.
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.start("a")
    playing.trials.cut_short()
    end_out_of_time(playing.run)
    assert [each.outcome for each in playing.trials.ended()] == ["interrupted"]
    assert study.trials[0].state is TrialState.RUNNING


def test_an_interrupted_trial_runs_out_of_time_if_none_is_left(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    record = playing.start("a")
    playing.report("a", record, 50, 0.3)
    playing.trials.cut_short()
    TrialStore(study).save(record, 10.0)
    again = Playing(study)
    again.budget.seconds = 0.0
    end_out_of_time(again.run)
    assert study.trials[0].state is TrialState.PRUNED
    (kept,) = TrialStore(study).load().values()
    assert (kept.outcome, kept.mended) == ("out_of_time", False)


def test_a_trial_whose_reused_process_died_is_suggested_again(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    first = playing.searcher.suggest("t0")
    for number in range(1, STARTS):
        playing.die(f"t{number - 1}")
        # The check changes nothing.
        assert all(playing.trials.starts_again(f"t{number - 1}") for _ in range(2 * STARTS))
        playing.searcher.on_trial_complete(f"t{number - 1}", None, error=True)
        assert playing.searcher.suggest(f"t{number}") == first
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    # After STARTS deaths the trial fails.
    playing.die(f"t{STARTS - 1}")
    playing.searcher.on_trial_complete(f"t{STARTS - 1}", None, error=True)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    playing.die(f"t{STARTS - 1}")
    assert not playing.trials.starts_again(f"t{STARTS - 1}")
    second = playing.searcher.suggest("another")
    assert second is not None
    assert second["number"] == 1


def test_a_resumed_trial_whose_reused_process_died_continues_too(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    record = playing.start("t0")
    record.checkpoints = ["/somewhere/checkpoint_000001"]
    playing.die("t0")
    playing.die("t0")
    playing.searcher.on_trial_complete("t0", None, error=True)
    trial = Trial("stub", config={"trial_id": "00000"}, trial_id="t0", stub=True)
    playing.events.on_trial_error(trial=trial)
    assert record.outcome == "running"
    given = playing.searcher.suggest("t1")
    assert given is not None
    assert (given["trial_id"], given["checkpoints"]) == ("00000", record.checkpoints)


def test_a_trial_whose_processes_all_die_at_the_start_fails(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.searcher.suggest("t0")
    # Tune retries STARTS - 1 times, and handles the last death once.
    for _ in range(STARTS - 1):
        playing.die("t0")
    playing.events.on_step_begin()
    playing.searcher.on_trial_complete("t0", None, error=True)
    assert study.trials[0].state is TrialState.FAIL


def test_a_trial_that_fails_after_its_start_is_not_suggested_again(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", error=True)
    assert study.trials[0].state is TrialState.FAIL


def test_trials_of_a_killed_session_come_first_in_the_next(tmp_path: Path) -> None:
    killed = Playing(a_study(tmp_path))
    killed.play("a", (STEPS, 0.4))
    running = killed.start("b")
    killed.report("b", running, 50, 0.3)
    # The program is killed before it stores the report in the record.
    running.step = 25
    running.checkpoints = ["/somewhere/checkpoint_000001"]
    study = a_study(tmp_path)
    again = Playing(study)
    again.trials.records[running.trial_id] = running
    given = again.searcher.suggest("x")
    assert given == {
        "config": BASE.with_values(running.values).to_dict(), "values": running.values,
        "number": 1, "trial_id": "00001", "checkpoints": running.checkpoints,
    }  # fmt: skip
    # It reports a step again that the study has, about which Optuna would warn.
    again.report("x", running, 50, 0.3)
    again.report("x", running, STEPS, 0.6)
    again.searcher.on_trial_complete("x", {})
    assert [trial.value for trial in study.trials] == [0.4, 0.6]
    assert again.start("y").number == 2


def test_settings_that_a_killed_trial_lacks_are_drawn(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    study.enqueue_trial({"model.latent_size": 8, "data.labels": 100})
    first, *_ = SPACE
    study.ask({first: SPACE[first]})
    record = Playing(study).start("x")
    assert record.number == 0
    assert record.values.keys() == SPACE.keys()
    # Enqueued values are kept.
    assert (record.values["model.latent_size"], record.values["data.labels"]) == (8, 100)


def test_a_resumed_search_draws_other_settings(tmp_path: Path) -> None:
    settings = SweepSettings(variant="dsprites_v4", sampler="random")
    base = preset("default", "dsprites_v4")
    sweep = Sweep("one", tmp_path, settings, base, SPACE, tmp_path, Allotment(1.0, 0.0, 1))
    # Of three sessions the first starts from the preset's values.
    drawn = [open_search_study(sweep).ask(SPACE).params for _ in range(3)]
    assert drawn[1] != drawn[2]


def test_a_save_removes_the_folder_of_a_killed_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "weakdis-checkpoint-of-a-killed-process"
    left.mkdir()
    (left / CHECKPOINT_FILE).touch()
    trainer: Any = SimpleNamespace(save=Path.touch)
    with _saved(trainer, {}) as folder:
        assert list(tmp_path.rglob(CHECKPOINT_FILE)) == [folder / CHECKPOINT_FILE]
    assert not list(tmp_path.iterdir())
