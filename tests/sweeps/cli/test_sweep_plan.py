"""The plan of a search, and short texts of the console."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sweeps.cli.sweep_plan import print_plan, probe
from sweeps.cli.trial_table import summary_line
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_duration, format_settings
from sweeps.trial import TrialRecord
from weakdis_core.cli.console import is_interactive

SMALL = ("data.max_images=1000", "model.channels=8", "model.hidden=32")


def test_a_plan_shows_trials_steps_time_and_disk() -> None:
    settings = SweepSettings(
        variant="dsprites_v2", name="N", trials=7, preset="quick", set_=SMALL,
        data_source="rendered", max_concurrent=1,
    )  # fmt: skip
    file = io.StringIO()
    print_plan(settings, Console(file=file, width=200))
    text = file.getvalue()
    for word in (
        "plan of N",
        "model.latent_size {4, 6, 8, 12, 16}",
        "at most 7, 1 at once",
        "680 a full trial; early stopping from step 454",
        "ends after 14:00 in any case",
        "MiB a checkpoint, 2 kept of each",
    ):
        assert word in text
    assert "confirmation" not in text


@pytest.mark.slow
def test_a_plan_shows_the_cost_of_confirmation() -> None:
    settings = SweepSettings(
        variant="dsprites_v2", preset="quick", set_=SMALL, data_source="rendered",
        max_concurrent=1, confirm_seeds=5, confirm_top=2,
    )  # fmt: skip
    file = io.StringIO()
    print_plan(settings, Console(file=file, width=200))
    text = file.getvalue()
    assert "after the search 5 fresh seeds of the best 2: 10 runs" in text
    assert "beyond the time budget" in text


@pytest.mark.slow
def test_the_probe_measures_time_and_size() -> None:
    config = SweepSettings(variant="shapes3d_v3", preset="quick", set_=SMALL).base_config(
        "shapes3d_v3"
    )
    measured = probe(config)
    assert measured.trial > 0
    assert measured.checkpoint > 10_000
    assert measured.test == 0
    assert probe(config, test=True).test > 0


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
