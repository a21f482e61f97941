"""What is shown of trials while they run, and of those that failed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sweeps.budget import Budget, Interruption
from sweeps.console import View
from sweeps.ledger import Ledger
from sweeps.record import Record

ERROR = "[enforce fail at alloc.cpp:75] no memory for [/tmp/x]"


@pytest.mark.parametrize("watched", [True, False])
def test_an_error_is_shown_word_for_word(watched: bool) -> None:
    budget = Budget(60.0, Interruption())
    failed = Record(1, "00001", {"model.latent_size": 8}, "failed", 20, error=ERROR)
    ledger = Ledger("pixels", 30, budget)
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    view = View(console, "one", ledger, budget, 3)
    ledger.records["00001"] = failed
    if watched:
        console.print(view.render())
    else:
        view.trial_ended(failed)
    assert f"latent_size=8 ({ERROR})" in shown.getvalue()
