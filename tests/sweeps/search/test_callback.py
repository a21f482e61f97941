"""The adapter of Tune's callbacks, and the order in which it calls the listeners."""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune import Checkpoint
from ray.tune.experiment import Trial

from sweeps.budget import Budget, Interruption
from sweeps.names import METRICS
from sweeps.search.tune_events import TuneEvents, _reason_of
from sweeps.state.trials import Trials
from sweeps.trial import Listener, Outcome, TrialRecord, outcome_of
from weakdis_core.errors import UserError

STEPS = 100
CONFIG = {"training": {"steps": STEPS}}
PIXELS = METRICS["pixels"]


class Recording(Listener):
    """Notes each event under its own name, with the record's state at that time."""

    def __init__(self, name: str, events: list[tuple[str, ...]]) -> None:
        self._name = name
        self._events = events

    def session_started(self) -> None:
        self._note("session_started")

    def step_started(self) -> None:
        self._note("step_started")

    def trial_started(self, record: TrialRecord) -> None:
        self._note("trial_started", record.trial_id)

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        self._note("trial_reported", f"{record.step}")

    def checkpoint_saved(self, record: TrialRecord, path: str) -> None:
        self._note("checkpoint_saved", *record.checkpoints)

    def trial_ended(self, record: TrialRecord) -> None:
        self._note("trial_ended", record.outcome)

    def session_ended(self) -> None:
        self._note("session_ended")

    def _note(self, *event: str) -> None:
        self._events.append((self._name, *event))


@pytest.mark.parametrize("content", ["nicht möglich".encode(), b"nicht m\xf6glich"])
def test_an_error_file_of_any_encoding_is_read(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io, "text_encoding", lambda given, *_: given or "ascii")
    file = tmp_path / "error.txt"
    file.write_bytes(b"Traceback\n" + content + b"\n")
    trial = SimpleNamespace(error_file=str(file))
    assert re.fullmatch("nicht m.glich", _reason_of(cast(Trial, trial)))


class Refusing(Listener):
    """A listener that ends the sweep."""

    def step_started(self) -> None:
        raise UserError("no")

    def session_ended(self) -> None:
        raise UserError("no")


def the_trials() -> Trials:
    return Trials("pixels", STEPS, Budget(math.inf, Interruption()))


def test_listeners_are_called_in_order() -> None:
    noted: list[tuple[str, ...]] = []
    trials = the_trials()
    guard, first, second, keeper = (Recording(name, noted) for name in ("guard", "a", "b", "last"))
    events = TuneEvents(trials, [guard, trials, first, second, keeper])
    trial = Trial(
        "stub",
        config={"number": 1, "trial_id": "00001", "values": {}, "config": CONFIG},
        trial_id="t",
        stub=True,
    )
    events.setup()
    events.on_step_begin()
    events.on_trial_start(trial=trial)
    events.on_trial_result(trial=trial, result={"step": STEPS, PIXELS: 0.5})
    path = "/storage/one/search-1/00001/checkpoint_000000"
    events.on_checkpoint(trial=trial, checkpoint=Checkpoint(path))
    events.on_trial_complete(trial=trial)
    events.on_experiment_end()
    expected = [
        ("session_started",),
        ("step_started",),
        ("trial_started", "00001"),
        ("trial_reported", f"{STEPS}"),
        ("checkpoint_saved", path.removeprefix("/storage/")),
        ("trial_ended", "complete"),
        ("session_ended",),
    ]
    order = ("guard", "a", "b", "last")
    assert [each[:2] for each in noted] == [
        (name, event[0]) for event in expected for name in order
    ]
    # Listeners after the trials receive the updated record.
    later = [each for each in noted if each[0] != "guard"]
    assert later == [(name, *event) for event in expected for name in order[1:]]


def test_nothing_is_called_after_a_listener_that_raises() -> None:
    noted: list[tuple[str, ...]] = []
    trials = the_trials()
    trials.records["00001"] = TrialRecord(1, "00001", {})
    others = Recording("a", noted), Recording("last", noted)
    events = TuneEvents(trials, [Refusing(), trials, *others])
    for call in (events.on_step_begin, events.on_experiment_end):
        with pytest.raises(UserError):
            call()
    assert noted == []
    assert trials.records["00001"].outcome == "running"


def test_a_trial_that_ends_before_it_starts_is_an_event_only_if_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A trial without an experiment has no file of errors.
    monkeypatch.setattr("sweeps.search.tune_events._reason_of", lambda trial: "no memory")
    noted: list[tuple[str, ...]] = []
    trials = the_trials()
    events = TuneEvents(trials, [trials, Recording("last", noted)])
    config = {"number": 1, "trial_id": "00001", "values": {}, "config": CONFIG}
    trial = Trial("stub", config=config, trial_id="t", stub=True)
    events.on_trial_complete(trial=trial)
    events.on_trial_error(trial=trial)
    assert noted == [("last", "trial_ended", "failed")]


def test_nothing_of_the_listeners_is_pickled() -> None:
    events = TuneEvents(the_trials(), [Listener()])
    assert pickle.loads(pickle.dumps(events)).__dict__ == {}


@pytest.mark.parametrize(
    ("step", "score", "error", "outcome"),
    [
        (STEPS, 0.5, "", "complete"),
        (STEPS, 0.5, "no memory", "failed"),
        (STEPS, None, "", "failed"),
        (STEPS, math.nan, "", "failed"),
        (STEPS, math.inf, "", "failed"),
        (50, 0.5, "", "pruned"),
        (50, None, "", "pruned"),
    ],
)
def test_outcomes(step: int, score: float | None, error: str, outcome: Outcome) -> None:
    record = TrialRecord(1, "00001", {}, step=step, steps=STEPS, score=score, error=error)
    assert outcome_of(record) == outcome


def test_a_run_with_scores_on_test_is_complete_whatever_its_objective() -> None:
    record = TrialRecord(
        1, "00001", {}, step=STEPS, steps=STEPS, test={"test/factor_accuracy": 0.1}
    )
    assert outcome_of(record) == "complete"
