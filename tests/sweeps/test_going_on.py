"""Trials that a kill, a death or the end of time cut short: they go on, and none is lost."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import TrialState
from ray.tune.experiment import Trial

from sweeps.cluster import Allotment
from sweeps.launch import search_study
from sweeps.ledger import STARTS
from sweeps.records import Records, end_out_of_time
from sweeps.settings import SweepSettings
from sweeps.stage import Sweep
from tests.sweeps.played import BASE, SPACE, STEPS, Playing, a_study
from weakdis_core.presets import preset


def test_what_the_time_stopped_is_ended_and_what_had_not_started_waits(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    seen = playing.start("seen")
    playing.start("unseen")
    asked = playing.searcher.suggest("asked for only")
    playing.report("seen", seen, 50, 0.3)
    playing.budget.seconds = 0.0
    end_out_of_time(playing.run)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING]
    known = Records(study).load().values()
    assert [(each.outcome, each.mended) for each in known] == [("out_of_time", False)] * 2
    # With more time it is the next one.
    again = Playing(study)
    assert again.searcher.suggest("again") == asked
    assert again.start("another").number == 4


def test_where_time_is_left_what_was_interrupted_can_go_on(tmp_path: Path) -> None:
    # As when a sweep is resumed with no more trials than have ended.
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.start("a")
    playing.ledger.cut_short()
    end_out_of_time(playing.run)
    assert [each.outcome for each in playing.ledger.ended()] == ["interrupted"]
    assert study.trials[0].state is TrialState.RUNNING


def test_what_was_interrupted_is_out_of_time_when_there_is_none_to_go_on(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    record = playing.start("a")
    playing.report("a", record, 50, 0.3)
    playing.ledger.cut_short()
    Records(study).save(record, 10.0)
    again = Playing(study)
    again.budget.seconds = 0.0
    end_out_of_time(again.run)
    assert study.trials[0].state is TrialState.PRUNED
    (kept,) = Records(study).load().values()
    assert (kept.outcome, kept.mended) == ("out_of_time", False)


def test_what_was_to_have_a_dead_process_is_suggested_again(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    first = playing.searcher.suggest("t0")
    for number in range(1, STARTS):
        playing.die(f"t{number - 1}")
        # Asking changes nothing.
        assert all(playing.ledger.starts_again(f"t{number - 1}") for _ in range(2 * STARTS))
        playing.searcher.on_trial_complete(f"t{number - 1}", None, error=True)
        assert playing.searcher.suggest(f"t{number}") == first
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    # Enough: what is wrong is not the process of an earlier trial.
    playing.die(f"t{STARTS - 1}")
    playing.searcher.on_trial_complete(f"t{STARTS - 1}", None, error=True)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    playing.die(f"t{STARTS - 1}")
    assert not playing.ledger.starts_again(f"t{STARTS - 1}")
    second = playing.searcher.suggest("another")
    assert second is not None
    assert second["number"] == 2


def test_a_trial_that_went_on_and_then_gets_a_dead_process_goes_on_too(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    record = playing.start("t0")
    record.checkpoints = ["/somewhere/checkpoint_000001"]
    playing.die("t0")
    playing.die("t0")
    playing.searcher.on_trial_complete("t0", None, error=True)
    trial = Trial("stub", config={"trial_id": "00001"}, trial_id="t0", stub=True)
    playing.events.on_trial_error(trial=trial)
    assert record.outcome == "running"
    given = playing.searcher.suggest("t1")
    assert given is not None
    assert (given["trial_id"], given["checkpoints"]) == ("00001", record.checkpoints)


def test_a_process_that_dies_again_and_again_as_it_starts_fails_its_trial(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.searcher.suggest("t0")
    # Tune tries as often as it is told to, and hears of the last death once.
    for _ in range(STARTS - 1):
        playing.die("t0")
    playing.events.on_step_begin()
    playing.searcher.on_trial_complete("t0", None, error=True)
    assert study.trials[0].state is TrialState.FAIL


def test_what_fails_after_its_start_is_not_suggested_again(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", error=True)
    assert study.trials[0].state is TrialState.FAIL


def test_a_killed_session_s_trials_come_first_in_the_next(tmp_path: Path) -> None:
    killed = Playing(a_study(tmp_path))
    killed.play("a", (STEPS, 0.4))
    running = killed.start("b")
    killed.report("b", running, 50, 0.3)
    # Killed before its record knew of the report.
    running.step = 25
    running.checkpoints = ["/somewhere/checkpoint_000001"]
    study = a_study(tmp_path)
    again = Playing(study)
    again.ledger.records[running.trial_id] = running
    given = again.searcher.suggest("x")
    assert given == {
        "config": BASE.with_values(running.values).to_dict(), "values": running.values,
        "number": 2, "trial_id": "00002", "checkpoints": running.checkpoints,
    }  # fmt: skip
    # It reports the step after its checkpoint again, which the study has, and Optuna warns of.
    again.report("x", running, 50, 0.3)
    again.report("x", running, STEPS, 0.6)
    again.searcher.on_trial_complete("x", {})
    assert [trial.value for trial in study.trials] == [0.4, 0.6]
    assert again.start("y").number == 3


def test_of_a_trial_killed_while_its_settings_were_drawn_the_rest_are_drawn(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    study.enqueue_trial({"model.latent_size": 8, "data.labels": 100})
    first, *_ = SPACE
    study.ask({first: SPACE[first]})
    record = Playing(study).start("x")
    assert record.number == 1
    assert record.values.keys() == SPACE.keys()
    # What was asked for is kept: a confirm run's seed, the preset's values.
    assert (record.values["model.latent_size"], record.values["data.labels"]) == (8, 100)


def test_a_resumed_search_does_not_draw_the_same_again(tmp_path: Path) -> None:
    settings = SweepSettings(variant="dsprites_v4", sampler="random")
    base = preset("default", "dsprites_v4")
    sweep = Sweep("one", tmp_path, settings, base, SPACE, tmp_path, Allotment(1.0, 0.0, 1))
    # Of three sessions the first starts from the preset's values.
    drawn = [search_study(sweep).ask(SPACE).params for _ in range(3)]
    assert drawn[1] != drawn[2]
