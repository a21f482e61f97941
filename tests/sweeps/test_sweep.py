"""Messages at the end of a sweep: its report, and what MLflow has not received."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from analysis.data.runs import read_runs
from analysis.data.tracked_sweep import find_sweep
from analysis.report.sweep_page import SweepPage
from sweeps.cluster.allotment import Allotment
from sweeps.search.space import build_space
from sweeps.state.stage import Sweep
from sweeps.sweep import print_undelivered, write_report
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.outbox import Outbox
from sweeps.tracking.worker import DeliveryWorker
from tests.analysis.searched import search
from tests.analysis.tracked import Store
from tests.sweeps.tracking.test_writer import Mlflow, numbered

VARIANT = "dsprites_v2"


@pytest.fixture
def sweep(tmp_path: Path, database: str) -> Sweep:
    """A sweep that has ended."""
    settings = SweepSettings(variant=VARIANT, name="tried", tracking_uri=database)
    base = settings.base_config(VARIANT)
    folder = tmp_path / "tried"
    folder.mkdir()
    space = build_space(base, {})
    return Sweep("tried", folder, settings, base, space, tmp_path, Allotment(1.0, 0.0, 1))


def test_a_report_that_mlflow_refuses_is_printed(
    sweep: Sweep, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(tracking_uri=database)
    search(Store(tmp_path, database, client), trials=1)
    # The real drawings take long and are tested elsewhere.
    made = SweepPage(find_sweep(client, read_runs(database), "tried"), "page", {})
    monkeypatch.setattr("analysis.report.sweep_page.build_page", lambda *_: made)
    # A file in place of the folder of MLflow's files.
    (tmp_path / "mlruns").write_text("")
    output = io.StringIO()
    write_report(sweep, Console(file=output, width=80))
    assert (sweep.folder / "report.html").exists()
    assert "MLflow refused 1 entries: NotADirectoryError: " in output.getvalue()


def test_undelivered_entries_are_printed_with_their_folder_and_a_command(sweep: Sweep) -> None:
    writer = DeliveryWorker(Outbox(sweep.folder), Mlflow(), pause=0.01)
    writer.submit(numbered(1))
    writer.close(grace=0.05)
    writer.failures.append("HTTPError: 413 for [/tmp/x]")
    output = io.StringIO()
    print_undelivered(sweep, writer, Console(file=output, width=80))
    assert output.getvalue().splitlines() == [
        "MLflow refused 1 entries: HTTPError: 413 for [/tmp/x]",
        f"MLflow does not answer: 1 entries wait in {sweep.folder}; deliver them with "
        f"python sweeps/run.py --resume {sweep.folder}",
    ]
