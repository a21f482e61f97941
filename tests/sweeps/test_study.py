"""The searcher against a real Optuna study: every trial ends in the state that is true."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from sweeps.budget import Budget, Interruption
from sweeps.cluster import Allotment
from sweeps.launch import Sweep, enough_time, search_study
from sweeps.ledger import STARTS, Ledger, Record
from sweeps.records import Records, end_out_of_time
from sweeps.searcher import StudySearcher
from sweeps.settings import Objective, Sampler, SweepSettings
from sweeps.space import METRICS, build_space
from sweeps.study import export_study, make_sampler, open_storage, open_study
from weakdis_core.errors import UserError
from weakdis_core.presets import preset

STEPS = 100
SPACE = build_space(preset("default", "dsprites_v4"), {})
PIXELS = METRICS["pixels"]


def a_study(folder: Path, objective: Objective = "pixels") -> Study:
    study = open_study(open_storage(folder), "a sweep", objective, SPACE)
    study.sampler = make_sampler("random", 0, 10)
    return study


class Playing:
    """A searcher and its ledger, told of a trial as Tune tells them: by names of its own."""

    def __init__(
        self, study: Study, objective: Objective = "pixels", seconds: float = math.inf
    ) -> None:
        self.budget = Budget(seconds, Interruption())
        self.ledger = Ledger(objective, STEPS, self.budget, Records(study).load())
        self.searcher = StudySearcher(study, SPACE, self.ledger, trials=100)

    def start(self, tune_id: str) -> Record:
        given = self.searcher.suggest(tune_id)
        assert given is not None
        self.ledger.on_trial_start(0, [], Trial("stub", config=given, trial_id=tune_id, stub=True))
        return self.ledger.records[given["trial_id"]]

    def report(self, tune_id: str, record: Record, step: int, score: float | None) -> None:
        result = {"step": step} if score is None else {"step": step, PIXELS: score}
        self.searcher.on_trial_result(tune_id, result)
        record.step, record.score = step, score if score is not None else record.score

    def die(self, tune_id: str, trial_id: str = "00001") -> None:
        """Lose its process, and wait for another one, which Tune does by itself."""
        trial = Trial("stub", config={"trial_id": trial_id}, trial_id=tune_id, stub=True)
        self.ledger.on_step_begin(0, [])
        self.ledger.on_trial_recover(0, [], trial)

    def play(self, tune_id: str, *reports: tuple[int, float | None], error: bool = False) -> None:
        record = self.start(tune_id)
        for step, score in reports:
            self.report(tune_id, record, step, score)
        self.searcher.on_trial_complete(tune_id, {}, error)


def test_a_suggestion_is_inside_the_space(tmp_path: Path) -> None:
    suggestion = Playing(a_study(tmp_path)).searcher.suggest("t1")
    assert suggestion is not None
    for name, value in suggestion["values"].items():
        assert SPACE[name]._contains(SPACE[name].to_internal_repr(value))
    assert (suggestion["number"], suggestion["trial_id"]) == (1, "00001")
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


def test_what_the_time_stopped_is_ended_and_what_had_not_started_waits(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study, seconds=0.0)
    seen = playing.start("seen")
    playing.start("unseen")
    asked = playing.searcher.suggest("asked for only")
    playing.report("seen", seen, 50, 0.3)
    end_out_of_time(study, playing.ledger, playing.budget)
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
    end_out_of_time(study, playing.ledger, playing.budget)
    assert [each.outcome for each in playing.ledger.ended()] == ["interrupted"]
    assert study.trials[0].state is TrialState.RUNNING


def test_what_was_interrupted_is_out_of_time_when_there_is_none_to_go_on(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    record = playing.start("a")
    playing.report("a", record, 50, 0.3)
    playing.ledger.cut_short()
    Records(study).save(record, 10.0)
    again = Playing(study, seconds=0.0)
    end_out_of_time(study, again.ledger, again.budget)
    assert study.trials[0].state is TrialState.PRUNED
    (kept,) = Records(study).load().values()
    assert (kept.outcome, kept.mended) == ("out_of_time", False)


def test_a_result_after_the_end_changes_nothing(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    playing = Playing(study)
    playing.play("t1", (STEPS, 0.7))
    playing.searcher.on_trial_result("t1", {"step": STEPS, PIXELS: 0.1})
    playing.searcher.on_trial_complete("t1", None, error=True)
    assert study.trials[0].value == 0.7


def test_the_search_ends_when_time_does(tmp_path: Path) -> None:
    budget = Budget(0.0, Interruption())
    ledger = Ledger("pixels", STEPS, budget)
    # Even where none has ended that would say how long one takes.
    searcher = StudySearcher(
        a_study(tmp_path), SPACE, ledger, 10, functools.partial(enough_time, ledger, budget)
    )
    suggestion: object = searcher.suggest("t1")
    assert suggestion == Searcher.FINISHED


def test_the_search_ends_with_its_last_trial(tmp_path: Path) -> None:
    ledger = Ledger("pixels", STEPS, Budget(math.inf, Interruption()))
    searcher = StudySearcher(a_study(tmp_path), SPACE, ledger, trials=2)
    for number in range(2):
        assert searcher.suggest(f"t{number}") is not None
    # None of them has started yet.
    assert searcher.suggest("another") is None


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
    playing.ledger.on_trial_error(0, [], trial)
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
    playing.ledger.on_step_begin(0, [])
    playing.searcher.on_trial_complete("t0", None, error=True)
    assert study.trials[0].state is TrialState.FAIL


def test_what_fails_after_its_start_is_not_suggested_again(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", error=True)
    assert study.trials[0].state is TrialState.FAIL


def test_pareto_has_two_values_and_prunes_too(tmp_path: Path) -> None:
    study = a_study(tmp_path, "pareto")
    playing = Playing(study, "pareto", seconds=0.0)
    playing.play("t1", (50, 0.2), (STEPS, 0.7))
    playing.play("t2", (50, 0.1))
    playing.start("t3")
    end_out_of_time(study, playing.ledger, playing.budget)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert study.trials[0].values == [0.7, study.trials[0].params["data.labels"]]


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
        "values": running.values, "number": 2, "trial_id": "00002",
        "checkpoints": running.checkpoints,
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


def test_another_direction_is_refused(tmp_path: Path) -> None:
    optuna.create_study(study_name="a sweep", storage=open_storage(tmp_path), direction="minimize")
    with pytest.raises(UserError, match="found directions minimize"):
        a_study(tmp_path)


def test_another_space_is_refused(tmp_path: Path) -> None:
    a_study(tmp_path)
    space = {name: values for name, values in SPACE.items() if name != "data.labels"}
    with pytest.raises(UserError, match=r"it searches .*labels"):
        open_study(open_storage(tmp_path), "a sweep", "pixels", space)


def test_a_storage_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"optuna_storage: 'sqlite:////dev/null/x\.db' cannot be"):
        open_storage(tmp_path, "sqlite:////dev/null/x.db")


def test_samplers() -> None:
    assert isinstance(make_sampler("tpe", 0, 20), TPESampler)
    assert isinstance(make_sampler("random", 0, 20), RandomSampler)
    assert isinstance(make_sampler("nsga2", 0, 20), NSGAIISampler)


def test_the_export_is_readable_json(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", (STEPS, 0.7))
    export_study(study, tmp_path / "study.json")
    text = (tmp_path / "study.json").read_text()
    assert '"COMPLETE"' in text
    assert '"trial_id": "00001"' in text


@pytest.mark.parametrize("objective", ["pixels", "pareto"])
@pytest.mark.parametrize("name", ["tpe", "random", "nsga2"])
def test_every_sampler_serves_every_objective(name: Sampler, objective: Objective) -> None:
    study = open_study(InMemoryStorage(), "a sweep", objective, SPACE)
    study.sampler = make_sampler(name, 0, 12)
    playing = Playing(study, objective)
    for number in range(24):
        playing.play(str(number), (STEPS if number % 3 else 50, number / 24))
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) == 8
    assert states.count(TrialState.COMPLETE) == 16
