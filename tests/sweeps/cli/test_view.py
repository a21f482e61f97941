"""What is shown of trials while they run, and of those that failed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.cli.view import View
from sweeps.trial import TrialRecord
from tests.sweeps.support.played import a_run, a_study

ERROR = "[enforce fail at alloc.cpp:75] no memory for [/tmp/x]"


@pytest.mark.parametrize("watched", [True, False])
def test_an_error_is_shown_word_for_word(watched: bool, tmp_path: Path) -> None:
    failed = TrialRecord(1, "00001", {"model.latent_size": 8}, "failed", 20, error=ERROR)
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    run = a_run(a_study(tmp_path), seconds=60.0)
    view = View(console, run, 3)
    run.ledger.records["00001"] = failed
    if watched:
        console.print(view.render())
    else:
        view.trial_ended(failed)
    assert f"latent_size=8 ({ERROR})" in shown.getvalue()
