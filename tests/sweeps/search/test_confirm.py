"""Confirmation: fresh seeds, the best configurations, and the ends of confirm runs."""

from __future__ import annotations

import io
import math
import signal
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from optuna.trial import TrialState
from ray import tune
from rich.console import Console

from sweeps.budget import Budget, Interruption
from sweeps.cli.summary import Confirmed
from sweeps.cluster.allotment import Allotment
from sweeps.confirm import confirm, confirm_study, fresh_seeds, leaders
from sweeps.names import METRICS
from sweeps.search.run_queue import QueuedTrials
from sweeps.search.space import build_space, starting_point
from sweeps.session import Session
from sweeps.state.stage import Sweep
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import Outbox
from sweeps.tracking.run_info import SweepRun, common_tags
from sweeps.tracking.run_tracker import RunTracker
from sweeps.tracking.worker import DeliveryWorker
from sweeps.trial import Outcome, TrialRecord
from tests.sweeps.support.faulty import call_of
from tests.sweeps.support.finished import interrupted, of_stage, runs_of
from tests.sweeps.support.held import hold

VARIANT = "dsprites_v2"
STEPS = 400


def a_sweep(folder: Path, **flags: Any) -> Sweep:
    settings = SweepSettings(
        variant=VARIANT,
        name="scripted",
        preset="quick",
        max_steps=STEPS,
        storage=str(folder),
        **flags,
    )
    base = settings.base_config(VARIANT)
    place = folder / "scripted"
    place.mkdir()
    return Sweep(
        "scripted", place, settings, base, build_space(base, {}), folder, Allotment(1.0, 0.0, 1)
    )


def searched(*given: tuple[int, float | None, Outcome]) -> Trials:
    """Return the records of a search, given latent size, score and outcome of each trial."""
    trials = Trials("pixels", STEPS, Budget(math.inf, Interruption()))
    for number, (size, score, outcome) in enumerate(given, 1):
        record = TrialRecord(
            number, f"t{number}", {"model.latent_size": size}, outcome, score=score
        )
        record.checkpoints = ["somewhere"]
        trials.records[record.trial_id] = record
    return trials


def test_seeds_are_fresh_distinct_and_the_same_each_time() -> None:
    for seed in (0, 1, 2**31 - 1):
        seeds = fresh_seeds(seed, 100)
        assert len(set(seeds)) == 100
        assert seed not in seeds
        assert all(0 <= fresh <= 2**31 - 1 for fresh in seeds)
        assert seeds[:5] == fresh_seeds(seed, 5)
    assert set(fresh_seeds(0, 5)).isdisjoint(fresh_seeds(1, 5))


def test_the_best_different_configurations_are_confirmed(tmp_path: Path) -> None:
    trials = searched(
        (4, 0.7, "complete"),
        (8, 0.9, "complete"),
        (8, 0.8, "complete"),
        (6, 0.99, "pruned"),
        (12, None, "failed"),
        (16, 0.5, "complete"),
    )
    sweep = a_sweep(tmp_path, confirm_seeds=2, confirm_top=2)
    assert [record.number for record in leaders(sweep, trials)] == [2, 1]
    assert leaders(sweep, trials)[0] is trials.best()


def test_without_a_complete_trial_the_best_cut_short_is_confirmed(tmp_path: Path) -> None:
    trials = searched((4, 0.2, "out_of_time"), (8, 0.9, "pruned"), (6, None, "failed"))
    sweep = a_sweep(tmp_path, confirm_seeds=2, confirm_top=3)
    assert [record.number for record in leaders(sweep, trials)] == [2]


def ran(script: Any, database: str, folder: Path) -> tuple[list[Confirmed], str, Run, list[Run]]:
    """Confirm one configuration on three seeds with scripted runs; return what `confirmed` does."""
    return confirmed(a_sweep(folder, confirm_seeds=3), 8, database, script)


def values_of(sweep: Sweep, size: int) -> dict[str, Any]:
    """The preset's values, with another latent size."""
    point = starting_point(sweep.space, sweep.base)
    assert point is not None
    return point | {"model.latent_size": size}


def confirmed(
    sweep: Sweep,
    size: int,
    database: str,
    script: Any = None,
    interruption: Interruption | None = None,
) -> tuple[list[Confirmed], str, Run, list[Run]]:
    """Confirm a configuration; return the result, the output, the parent and confirm runs."""
    trials = searched((size, 0.9, "complete"))
    trials.records["t1"].values = values_of(sweep, size)
    open_experiment(database, VARIANT, "scripted")
    writer = DeliveryWorker(Outbox(sweep.folder), RunClient(database, VARIANT, "scripted"))
    run = SweepRun("scripted", sweep.base, common_tags(sweep.base, "rendered"), {})
    tracking = RunTracker(writer, run, trials)
    tracking.open()
    output, budget = io.StringIO(), Budget(math.inf, interruption or Interruption())
    study = open_study(open_storage(sweep.folder), "scripted", "pixels")
    console = Console(file=output)
    session = Session(sweep, "search", study, trials, budget, tracking, writer, console)
    try:
        found = confirm(session, script)
    finally:
        tracking.close("FINISHED")
        writer.close()
    assert not writer.failures
    parent, children = runs_of(database, VARIANT, "scripted")
    return found, output.getvalue(), parent, of_stage(children, "confirm")


def report_twice(latent: float) -> None:
    """What a confirm run reports at its last step."""
    result = {METRICS["pixels"]: 0.5, "step": STEPS, "stage": "full", "seconds": 1.0}
    tune.report(result | {"device": "none"})
    tune.report({"test/relation_accuracy_latent": latent, "step": STEPS, "device": "none"})


def an_earlier_session(sweep: Sweep, size: int, outcomes: list[Outcome]) -> None:
    """Confirm runs that have ended already, one a seed."""
    seeds = fresh_seeds(sweep.settings.seed, len(outcomes))
    values = [values_of(sweep, size) | {"seed": seed} for seed in seeds]
    study = confirm_study(sweep, values)
    source = QueuedTrials(study, sweep.base)
    for outcome in outcomes:
        trial = source.take()
        assert trial is not None
        given = source.settings(trial)["values"]
        record = TrialRecord(trial.number, f"confirm-{trial.number:05d}", given)
        record.outcome, record.seconds = outcome, 1.0
        if outcome == "complete":
            study.tell(trial, 0.5)
            record.test = {"test/relation_accuracy_latent": 0.75}
        else:
            study.tell(trial, state=TrialState.FAIL)
            record.error = "no luck"
        TrialStore(study, "confirm").save(record, 0.0)


def test_fewer_seeds_than_before_are_shown_alone(database: str, tmp_path: Path) -> None:
    sweep = a_sweep(tmp_path, confirm_seeds=2)
    an_earlier_session(sweep, 8, ["complete"] * 3)
    found, printed, _, _ = confirmed(sweep, 8, database)
    assert [run.values["seed"] for run in found[0].runs] == fresh_seeds(0, 2)
    assert "reached their end" not in printed


def test_the_runs_of_another_winner_are_shown_alone(database: str, tmp_path: Path) -> None:
    sweep = a_sweep(tmp_path, confirm_seeds=2)
    an_earlier_session(sweep, 4, ["complete"] * 2)
    an_earlier_session(sweep, 8, ["failed"] * 2)
    found, printed, _, _ = confirmed(sweep, 8, database)
    assert not found
    assert "0 of 2 confirm runs reached their end" in printed
    assert printed.count("failed: no luck") == 2


def test_an_interrupted_confirmation_prints_the_command_that_resumes_it(
    database: str, tmp_path: Path
) -> None:
    sweep = a_sweep(tmp_path, confirm_seeds=2)
    an_earlier_session(sweep, 8, ["complete"] * 2)
    interruption = Interruption()
    interruption.signal = signal.SIGINT
    found, printed, _, _ = confirmed(sweep, 8, database, interruption=interruption)
    assert not found
    assert f"python sweeps/run.py --resume {sweep.folder}" in " ".join(printed.split())


@pytest.mark.slow
def test_one_seed_failing_stops_no_other(
    resources: dict[str, float], database: str, tmp_path: Path
) -> None:
    bad = fresh_seeds(0, 3)[1]

    def script(parameters: dict[str, Any]) -> None:
        if parameters["values"]["seed"] == bad:
            raise ValueError("no luck [with] this seed")
        report_twice(0.75)

    found, printed, parent, runs = ran(script, database, tmp_path)
    assert {run.data.tags["seed"]: run.info.status for run in runs} == {
        str(seed): "FAILED" if seed == bad else "FINISHED" for seed in fresh_seeds(0, 3)
    }
    assert [len(each.runs) for each in found] == [2]
    assert "2 of 3 confirm runs reached their end" in printed
    assert f"seed {bad} failed: ValueError: no luck [with] this seed" in printed
    note = parent.data.tags["mlflow.note.content"]
    assert "on 2 fresh seeds: latent 0.750 ± 0.000" in note


@pytest.mark.slow
def test_when_every_seed_fails_there_is_no_result(
    resources: dict[str, float], database: str, tmp_path: Path
) -> None:
    def script(parameters: dict[str, Any]) -> None:
        raise ValueError("no luck")

    found, printed, _, runs = ran(script, database, tmp_path)
    assert not found
    assert "0 of 3 confirm runs reached their end" in printed
    assert [run.info.status for run in runs] == ["FAILED"] * 3


@pytest.mark.slow
def test_an_interruption_ends_confirm_runs_and_keeps_the_search(
    cache: Path, database: str, tmp_path: Path
) -> None:
    flags = ["--name", "cut", "--trials", "1", "--max-steps", "40", "--max-concurrent", "1"]
    flags += ["--confirm-seeds", "3", "--tracking-uri", database]
    hold(tmp_path, 10, "confirm-00000")
    code, output = interrupted(call_of(*flags), tmp_path, "runs/cut/confirm-1/*/checkpoint_*")
    assert code == 130, output
    assert "Traceback" not in output
    assert "--resume cut" in output
    assert "on fresh seeds" not in output
    parent, children = runs_of(database, VARIANT, "cut")
    assert parent.info.status == "KILLED"
    (best,) = of_stage(children, "search")
    assert best.info.status == "FINISHED"
    assert "test/relation_accuracy_latent" in best.data.metrics
    ends = [run.info.status for run in of_stage(children, "confirm")]
    assert ends[-1] == "KILLED"
    assert set(ends) <= {"FINISHED", "KILLED"}
