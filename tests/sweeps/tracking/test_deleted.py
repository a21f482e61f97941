"""Runs that were deleted or purged in MLflow: a resumed sweep sends them again."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from rich.console import Console

from analysis.data.outbox_files import count_undelivered
from sweeps.cluster.allotment import Allotment
from sweeps.session import resend_deleted_runs
from sweeps.state.stage import Sweep
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import OF_REPORT, PARENT, Entry, Kind, Outbox
from sweeps.tracking.worker import DeliveryWorker
from tests.sweeps.support.finished import runs_of
from weakdis_core.errors import UserError

VARIANT = "dsprites_v2"
KEYS = ("00001", "00002", "confirm-00001")


@pytest.fixture
def sweep(database: str, tmp_path: Path) -> Sweep:
    """A sweep of two sessions, which MLflow has received."""
    folder = tmp_path / "one"
    folder.mkdir()
    settings = SweepSettings(variant=VARIANT, name="one", preset="quick", tracking_uri=database)
    base = settings.base_config(VARIANT)
    made = Sweep("one", folder, settings, base, {}, folder, Allotment(1.0, 0.0, 1))
    open_experiment(database, VARIANT, "one")
    file = folder / "best.yaml"
    file.write_text("best")
    for session in (1, 2):
        outbox = Outbox(folder)
        writer = DeliveryWorker(outbox, RunClient(database, VARIANT, "one"))
        for entry in entries(session, file):
            writer.submit(entry)
        writer.close()
        assert writer.failures == []
    return made


def entries(session: int, file: Path) -> list[Entry]:
    at = 1000 * session

    def entry(key: str, kind: Kind, **content: Any) -> Entry:
        nonlocal at
        at += 1
        return Entry(key=key, kind=kind, at=at, **content)

    tags = {"sweep": "one", "kind": "sweep"}
    entries = [entry(PARENT, "begin", tags=tags, params={"trials": f"{session + 1}"})]
    for key in KEYS:
        tags = {"sweep": "one", "kind": "trial", "trial_id": key}
        entries.append(entry(key, "begin", tags=tags, params={"loss.lambda": "1.0"}))
        # From its checkpoint the second session reports a step again.
        for step in (10, 20) if session == 1 else (20, 30):
            metrics = {OF_REPORT: step / 10, "val/accuracy": step / 100}
            entries.append(entry(key, "log", step=step, metrics=metrics))
        entries.append(entry(key, "file", file=str(file), folder="files"))
        status = "KILLED" if session == 1 else "FINISHED"
        entries.append(entry(key, "end", tags={"outcome": status}, status=status))
    entries.append(entry(PARENT, "log", step=session, metrics={"best/accuracy": 0.3}))
    return [
        *entries,
        entry(PARENT, "file", file=str(file)),
        entry(PARENT, "end", status="FINISHED"),
    ]


def state(uri: str) -> dict[str, Any]:
    """All that MLflow has of the sweep, but for the ids of its runs."""
    client = MlflowClient(tracking_uri=uri)
    parent, children = runs_of(uri, VARIANT, "one")
    found = {}
    for run in (parent, *children):
        tags = {name: tag for name, tag in run.data.tags.items() if name != MLFLOW_PARENT_RUN_ID}
        numbers = {
            name: [
                (point.timestamp, point.step, point.value)
                for point in client.get_metric_history(run.info.run_id, name)
            ]
            for name in run.data.metrics
        }
        files = [each.path for each in client.list_artifacts(run.info.run_id)]
        info = (run.info.status, run.info.start_time, run.info.end_time)
        # MLflow names a run at random that is given no name.
        tags.pop("mlflow.runName", None)
        found[tags.get("trial_id", PARENT)] = (run.data.params, tags, numbers, files, info)
    return found


def resume(sweep: Sweep) -> str:
    """Begin a session, send again what MLflow lacks, and return what is printed."""
    console = Console(file=io.StringIO(), width=200)
    outbox = Outbox(sweep.folder)
    delivery = RunClient(sweep.settings.tracking, VARIANT, "one")
    resend_deleted_runs(sweep, outbox, delivery, console)
    writer = DeliveryWorker(outbox, delivery)
    writer.close()
    assert writer.failures == []
    assert count_undelivered(sweep.folder) == 0
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def delete(client: MlflowClient, run: str) -> None:
    client.delete_run(run)


def purge(client: MlflowClient, run: str) -> None:
    client.delete_run(run)
    client._tracking_client.store._hard_delete_run(run)


def remove(uri: str, how: Callable[[MlflowClient, str], None], *keys: str) -> None:
    parent, children = runs_of(uri, VARIANT, "one")
    for run in (parent, *children):
        if run.data.tags.get("trial_id", PARENT) in keys:
            how(MlflowClient(tracking_uri=uri), run.info.run_id)


EVERY = (PARENT, *KEYS)


@pytest.mark.parametrize("how", [delete, purge])
@pytest.mark.parametrize(
    "keys",
    [KEYS[:1], KEYS[2:], (PARENT,), (PARENT, KEYS[1]), EVERY],
    ids=lambda keys: "+".join(keys),
)
def test_runs_are_sent_again_as_they_were(
    sweep: Sweep, how: Callable[[MlflowClient, str], None], keys: tuple[str, ...]
) -> None:
    uri = sweep.settings.tracking
    before = state(uri)
    assert resume(sweep) == ""
    # Runs that were sent again can be lost again, in any order.
    for gone in (keys, EVERY):
        remove(uri, how, *gone)
        shown = ", ".join(key for key in EVERY if key in gone)
        assert resume(sweep) == (
            f"one: MLflow lacks {len(gone)} of 4 runs ({shown}), which were deleted, or are of "
            "another store: all their entries are sent again\n"
        )
        assert state(uri) == before
    assert resume(sweep) == ""


def test_a_file_that_is_gone_is_left_out_and_counted(sweep: Sweep) -> None:
    (sweep.folder / "best.yaml").unlink()
    size = (sweep.folder / "mlflow.jsonl").stat().st_size
    remove(sweep.settings.tracking, purge, "00001")
    assert "sent again, without 2 files that are gone" in resume(sweep)
    assert state(sweep.settings.tracking)["00001"][3] == []
    # It may come back: the outbox keeps every entry.
    assert (sweep.folder / "mlflow.jsonl").stat().st_size == size


def test_entries_that_wait_follow_those_that_are_sent_again(sweep: Sweep) -> None:
    outbox = Outbox(sweep.folder)
    outbox.append(Entry(key="00001", kind="log", at=9000, tags={"best": "true"}))
    remove(sweep.settings.tracking, purge, "00001")
    assert "MLflow lacks 1 of 4 runs" in resume(sweep)
    assert state(sweep.settings.tracking)["00001"][1]["best"] == "true"


def test_a_session_killed_while_it_sends_again_is_completed_by_the_next(
    sweep: Sweep,
) -> None:
    uri = sweep.settings.tracking
    before = state(uri)
    remove(uri, purge, "00001", "00002")
    outbox, delivery = Outbox(sweep.folder), RunClient(uri, VARIANT, "one")
    resend_deleted_runs(sweep, outbox, delivery, Console(quiet=True))
    for _, entry in zip(range(3), outbox.waiting(), strict=False):
        delivery(entry)
        outbox.delivered()
    resume(sweep)
    assert state(uri) == before


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(sweep: Sweep) -> None:
    uri = sweep.settings.tracking
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(VARIANT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    command = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
    with pytest.raises(
        UserError, match="was deleted; restore it with MLFLOW_TRACKING_URI"
    ) as caught:
        open_experiment(uri, VARIANT, "one", resumed=True)
    assert str(caught.value).endswith(f"={shlex.quote(uri)} {command}")


def test_trials_of_a_deleted_parent_block_the_name_of_the_sweep(sweep: Sweep) -> None:
    remove(sweep.settings.tracking, delete, PARENT)
    with pytest.raises(UserError, match=r"name: there is a sweep 'one' of .* in MLflow"):
        open_experiment(sweep.settings.tracking, VARIANT, "one")
