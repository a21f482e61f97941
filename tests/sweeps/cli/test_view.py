"""The console while a sweep runs: trials, errors, and what the sweep is waiting for."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from sweeps.cli.view import View
from sweeps.cluster.allotment import Allotment
from sweeps.compat import log_folder
from sweeps.trial import TrialRecord
from tests.sweeps.support.played import a_run, a_study

ERROR = "[enforce fail at alloc.cpp:75] no memory for [/tmp/x]"


@pytest.mark.parametrize("watched", [True, False])
def test_an_error_with_markup_is_shown_unchanged(watched: bool, tmp_path: Path) -> None:
    failed = TrialRecord(1, "00001", {"model.latent_size": 8}, "failed", 20, error=ERROR)
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    run = a_run(a_study(tmp_path), seconds=60.0)
    view = View(console, run, 3)
    run.trials.records["00001"] = failed
    if watched:
        console.print(view.render())
    else:
        view.trial_ended(failed)
    assert f"latent_size=8 ({ERROR})" in shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cpus", "reason"), [(1.0, "Ray has not started a process for it"), (64.0, "hold the rest")]
)
def test_a_wait_for_the_first_trial_is_explained(
    resources: dict[str, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpus: float,
    reason: str,
) -> None:
    file, run = io.StringIO(), a_run(a_study(tmp_path))
    run.sweep = dataclasses.replace(run.sweep, name="one", allotment=Allotment(cpus, 0.0, 1))
    view = View(Console(file=file, width=80), run, 3)
    now = 1000.0
    monkeypatch.setattr("sweeps.cli.view.time", SimpleNamespace(monotonic=lambda: now))
    view.step_started()
    view.session_started()
    view.step_started()
    assert file.getvalue() == ""
    now += 61
    view.step_started()
    view.step_started()
    shown = file.getvalue()
    assert shown.startswith("one: no trial has started for 61 seconds")
    assert f"CPUs free (a trial takes {cpus:g})" in shown
    assert reason in shown
    assert shown.count(f"{run.sweep.resume_command} continues it") == 1
    assert Path(log_folder()).is_dir()
    view.trial_started(TrialRecord(1, "00001", {}))
    now += 1000
    view.step_started()
    assert file.getvalue() == shown
