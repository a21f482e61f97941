"""The console while a sweep runs: trials, errors, and what the sweep is waiting for."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from sweeps.cli.phase import phase
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
    assert ERROR in shown.getvalue()


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


@pytest.mark.parametrize("width", [80, 200])
def test_the_live_view_fits_the_terminal(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cli.trial_table.time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.setattr("sweeps.cli.view.time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True)
    run = a_run(a_study(tmp_path), seconds=600.0)
    run.sweep = dataclasses.replace(run.sweep, folder=Path("runs/dsprites_v4-20261130-015416"))
    values = {"model.latent_size": 12, "loss.lambda": 0.399, "prior.warmup": 0.0247}
    ended = TrialRecord(1, "1", values, "complete", 2200, 2200, score=0.9971, seconds=60.0)
    training = TrialRecord(2, "2", values, step=1100, steps=2200, seconds=38.0, started=60.0)
    training.rate, training.device = 50.0, "NVIDIA H200"
    starting = TrialRecord(3, "3", values, steps=2200, started=90.0)
    run.trials.records |= {each.trial_id: each for each in (ended, training, starting)}
    view = View(console, run, 5)
    assert view.live is not None
    console.print(view.render())
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    # Three trials of 60 seconds are left, two of which have run for 40 and 10 seconds.
    assert "search        0:00  1 of 5 trials ended; about 3:10 left, at most 10:00\n" in shown
    assert "best so far  trial 1: right factor changed, all others kept: 99.7%\n" in shown
    assert "Ctrl-C       stops; continue with:\n             python sweeps/run.py" in shown
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert "2 running 1100/2200 - 50/s 0:20 left H200 12 0.399 0.0247" in lines
    assert "3 starting 0/2200 - - 0:10 - 12 0.399 0.0247" in lines
    assert "1 complete 2200/2200 0.997 - 1:00 - 12 0.399 0.0247" in lines
    run.budget.interruption.signal = 2
    console.print(view.render())
    assert "Ctrl-C       stopping ...\n" in console.file.getvalue()


def test_a_phase_without_a_terminal_is_a_line_for_its_start_and_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with phase(Console(width=80), "oracle", "training a picture classifier") as shown:
        shown.advance(1, 2)
        shown.result = "a result"
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == (
        "oracle       training a picture classifier ...\noracle       ready  a result\n"
    )
