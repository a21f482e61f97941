"""Records and their runs in MLflow: every trial has its true end after any kill."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mlflow.entities import Run
from optuna.study import Study
from optuna.trial import TrialState
from ray.tune.experiment import Trial

from sweeps.budget import Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.names import METRICS
from sweeps.search.space import build_space
from sweeps.search.tune_events import TuneEvents
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore, end_out_of_time
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import Entry, Outbox
from sweeps.tracking.run_info import SweepRun
from sweeps.tracking.run_tracker import RunTracker
from sweeps.tracking.worker import DeliveryWorker
from tests.sweeps.support.finished import runs_of
from weakdis_core.presets import preset

VARIANT, STEPS = "dsprites_v2", 100
BASE = preset("default", VARIANT).with_values({"training.steps": STEPS})
SPACE = build_space(BASE, {})


class Session:
    """One session of a sweep: its study, records and outbox; MLflow receives them at the end."""

    def __init__(self, place: Path, database: str, seconds: float = math.inf) -> None:
        place.mkdir(exist_ok=True)
        open_experiment(database, VARIANT, "one", resumed=True)
        self.study: Study = open_study(open_storage(place), "one", "pixels", SPACE)
        self.records = TrialStore(self.study)
        self.budget = Budget(seconds, Interruption())
        self.trials = Trials("pixels", STEPS, self.budget, self.records.load())
        self.outbox = Outbox(place)
        self.writer = DeliveryWorker(self.outbox, RunClient(database, VARIANT, "one"))
        self.tracking = RunTracker(self.writer, SweepRun("one", BASE, {}, {}), self.trials)
        self.events = TuneEvents(self.trials, [self.trials, self.tracking])
        self.tracking.open()
        self.tracking.end_all()
        self._uri = database

    def start(self) -> Trial:
        """Start a trial as Tune does."""
        known = self.study.ask(SPACE)
        settings = BASE.with_values(known.params).to_dict()
        config = {"config": settings, "values": known.params, "number": known.number}
        config["trial_id"] = f"{known.number:05d}"
        trial = Trial("stub", config=config, stub=True)
        self.events.on_trial_start(trial=trial)
        self.save(trial)
        return trial

    def save(self, trial: Trial) -> None:
        self.records.save(self.trials.records[trial.config["trial_id"]], self.budget.spent)

    def runs(self) -> list[Run]:
        """Deliver all entries and return the trials' runs."""
        self.writer.close()
        assert self.writer.failures == []
        return runs_of(self._uri, VARIANT, "one")[1]


def entries(session: Session) -> list[Entry]:
    lines = session.outbox.path.read_text().splitlines()
    return [Entry.model_validate_json(line) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "one"


def test_the_seconds_of_an_earlier_version_count(place: Path, database: str) -> None:
    session = Session(place, database)
    session.study.set_user_attr("seconds", 7.0)
    assert session.records.seconds == 7.0
    trial = session.start()
    session.records.save(session.trials.records[trial.config["trial_id"]], 9.0)
    assert session.records.seconds == 9.0


def test_a_trial_that_failed_before_it_started_has_a_record_and_a_run(
    place: Path, database: str
) -> None:
    killed = Session(place, database)
    drawn = killed.study.ask(SPACE)
    # The program is killed after it has written the study only.
    killed.study.tell(drawn, state=TrialState.FAIL)
    killed.runs()
    again = Session(place, database)
    (record,) = again.trials.records.values()
    assert (record.trial_id, record.outcome, record.values) == ("00000", "failed", drawn.params)
    assert record.error == "the sweep was killed as the trial ended"
    (run,) = again.runs()
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", record.error)
    config = BASE.with_values(drawn.params)
    assert run.data.params == {name: str(value) for name, value in config.flat().items()}
    # The end is sent once.
    sent = len(entries(again))
    again.tracking.end_all()
    assert len(entries(again)) == sent


def test_a_confirm_run_that_failed_before_it_started_has_its_own_id(place: Path) -> None:
    place.mkdir()
    study = open_study(open_storage(place), "one/confirm", "pixels", SPACE)
    study.tell(study.ask(SPACE), state=TrialState.FAIL)
    assert list(TrialStore(study, "confirm").load()) == ["confirm-00000"]


def test_a_resumed_trial_may_end_well_after_an_error(place: Path, database: str) -> None:
    session = Session(place, database)
    trial = session.start()
    session.events.on_trial_result(trial=trial, result={"error": "no memory", "step": 50})
    # The program is killed before the trial fails, and resumed.
    session.events.on_trial_start(trial=trial)
    session.events.on_trial_result(trial=trial, result={METRICS["pixels"]: 0.5, "step": STEPS})
    session.events.on_trial_complete(trial=trial)
    (record,) = session.trials.records.values()
    assert (record.outcome, record.error) == ("complete", "")
    session.writer.close()


def test_a_failed_trial_begins_once(place: Path, database: str) -> None:
    session = Session(place, database)
    session.start()
    (record,) = session.trials.records.values()
    record.outcome = "failed"
    session.tracking.trial_ended(record)
    session.writer.close()
    kinds = [each.kind for each in entries(session) if each.key == "00000"]
    assert kinds == ["begin", "end"]


def test_an_interrupted_trial_without_time_left_ends_in_mlflow(place: Path, database: str) -> None:
    first = Session(place, database)
    trial = first.start()
    first.events.on_trial_result(trial=trial, result={METRICS["pixels"]: 0.5, "step": 50})
    first.tracking.cut_short()
    first.save(trial)
    (run,) = first.runs()
    assert (run.info.status, run.data.tags["outcome"]) == ("KILLED", "interrupted")
    second = Session(place, database, seconds=0.0)
    settings = SweepSettings(variant=VARIANT)
    sweep = Sweep("one", place, settings, BASE, SPACE, place, Allotment(1.0, 0.0, 1))
    end_out_of_time(StageRun(sweep, "search", second.study, second.trials, second.budget))
    second.tracking.end_all()
    third = Session(place, database)
    for session in (second, third):
        (run,) = session.runs()
        assert (run.info.status, run.data.tags["outcome"]) == ("KILLED", "out_of_time")
