"""The plan of a search, and short texts of the console."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweeps.cli.sweep_plan import print_plan
from sweeps.cli.trial_table import summary_line
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_duration, format_settings
from sweeps.trial import TrialRecord
from weakdis_core.cli.console import is_interactive

SMALL = ("data.max_images=1000", "model.channels=8", "model.hidden=32")


def planned(cache: Path, monkeypatch: pytest.MonkeyPatch, **flags: Any) -> str:
    monkeypatch.setenv("WEAKDIS_CACHE", str(cache))
    settings = SweepSettings(
        variant="dsprites_v2", preset="quick", set_=SMALL, data_source="rendered",
        max_concurrent=1, **flags,
    )  # fmt: skip
    file = io.StringIO()
    print_plan(settings, Console(file=file, width=200))
    return file.getvalue()


def test_a_plan_shows_the_phases_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = planned(tmp_path, monkeypatch, name="N", trials=7)
    for word in (
        "plan of N",
        "model.latent_size {4, 6, 8, 12, 16}",
        "at most 7, 1 at once",
        "680 a full trial; early stopping from step 454",
        "1,000: about 0:02, once",
        "judges pictures: about 0:10, once",
        "ends after 14:00 in any case",
        "MiB a checkpoint, 2 kept of each",
    ):
        assert word in text
    assert "confirmation" not in text
    # Planning draws no images.
    assert not list(tmp_path.iterdir())


def test_a_plan_shows_the_cost_of_confirmation(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = planned(cache, monkeypatch, confirm_seeds=5, confirm_top=2)
    assert "5 fresh seeds of the best 2, 10 runs" in text
    assert "beyond the time budget" in text


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (65.4, "1:05"), (3600, "1:00:00"), (3725, "1:02:05")]
)
def test_durations_are_formatted(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


def test_settings_are_shown_without_their_groups() -> None:
    assert (
        format_settings({"loss.lambda": 0.21345, "data.labels": 300}) == "lambda=0.213 labels=300"
    )


def test_the_line_of_a_failed_trial_has_the_reason() -> None:
    record = TrialRecord(
        3, "id", {"data.labels": 300}, outcome="failed", step=5, steps=10, error="no luck"
    )
    assert summary_line(record) == "3 failed: no score yet at step 5/10, 0:00, labels=300 (no luck)"


def test_a_file_or_ci_is_not_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert not is_interactive(Console(file=io.StringIO()))
    assert is_interactive(Console(force_terminal=True))
    monkeypatch.setenv("CI", "true")
    assert not is_interactive(Console(force_terminal=True))
