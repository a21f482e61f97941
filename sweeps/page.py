"""The report of a sweep that has ended: in its folder, and with its run in MLflow."""

from __future__ import annotations

import time

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from rich.console import Console
from rich.text import Text

from analysis.data.tracked_sweep import TrackedSweep
from sweeps.session import open_writer
from sweeps.state.stage import Sweep
from sweeps.tracking.outbox import PARENT, Entry
from sweeps.tracking.worker import DeliveryWorker
from weakdis_core.errors import UserError

REPORT_FILE = "report.html"


def make_page(sweep: Sweep, console: Console) -> None:
    """Make a sweep's page of what MLflow has of it, which is everything, and store it there too.

    A page that cannot be made costs nothing else: it can be made again at any time.
    """
    # Draws, which no sweep needs before.
    from analysis.report.sweep_page import build_page

    path = sweep.folder / REPORT_FILE
    try:
        made = build_page(sweep.settings.tracking, sweep.name, sweep.base.data.variant)
        made.write(path)
    except Exception as error:
        # Of whatever kind: the sweep has ended well.
        again = f"python -m analysis report --sweep {sweep.name}"
        reason = str(error) if isinstance(error, UserError) else repr(error)
        console.print(Text(f"report not made ({reason}); make it with {again}"), soft_wrap=True)
        return
    writer = open_writer(sweep)
    at = int(time.time() * 1000)
    writer.submit(Entry(key=PARENT, kind="file", at=at, file=str(path)))
    writer.submit(Entry(key=PARENT, kind="log", at=at, tags={MLFLOW_RUN_NOTE: _linked(made.sweep)}))
    writer.close()
    console.print(Text(f"report: {path}"), soft_wrap=True)
    print_undelivered(sweep, writer, console)


def print_undelivered(sweep: Sweep, writer: DeliveryWorker, console: Console) -> None:
    """Print what of a sweep MLflow has not received, if anything; the writer is closed."""
    if writer.failures:
        refused = f"MLflow refused {len(writer.failures)} entries: {writer.failures[0]}"
        console.print(Text(refused), soft_wrap=True)
    if writer.undelivered:
        told = (
            f"MLflow does not answer: {writer.undelivered} entries wait in {sweep.folder}; "
            f"deliver them with {sweep.resume_command}"
        )
        console.print(Text(told), soft_wrap=True)


def _linked(tracked: TrackedSweep) -> str:
    """A sweep's description with links of MLflow's UI to its page and its best trial."""
    run, best = tracked.run, tracked.best
    runs = f"#/experiments/{run.info.experiment_id}/runs"
    note = run.data.tags.get(MLFLOW_RUN_NOTE, "")
    note += f"\n\n[Report]({runs}/{run.info.run_id}/artifacts/{REPORT_FILE})"
    if best is not None:
        note += f", [trial {best['trial_id']}, the best]({runs}/{best['run_id']})"
    return note
