"""The rows of one cell."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from reproduction import cells
from reproduction.rows import Key
from reproduction.work import train_cell
from tests.reproduction import small


def test_the_rows_of_our_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "preset", small.small_preset)
    (cell,) = cells.ours("dsprites_v2", "rendered", [3])
    run, scores = train_cell(cell, "abc")
    assert run.key == Key.of(cell.config)
    assert (run.name, run.model, run.labels, run.seed) == ("dsprites_v2", "modular", 60, 3)
    assert (run.git_commit, run.device[:3]) == ("abc", "cpu")
    # 1000 images: a tenth of them are test.
    names = ("latent", "encoded", "pixels", "pixels_affected")
    assert {scores[f"relation_accuracy_{name}"].n for name in names} == {100}
    assert scores["oracle_accuracy"].n == scores["factor_accuracy_shape"].n == 100
    assert scores["relation_accuracy_pixels_move_left"].n is None
    assert scores["component_spread"].value > 0
    assert scores["sap_converted"].n == 100
    assert scores["mig_converted"].n == 740
    assert 0 < scores["sap_ceiling"].value < scores["mig_ceiling"].value <= 1


def test_the_rows_of_the_previous_works_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "preset", small.small_preset)
    rows = cells.previous_work("dsprites_v2", "rendered")
    assert list(rows) == [270, 60]
    run, scores = train_cell(rows[60][0], "abc")
    assert (run.model, run.labels) == ("monolithic", 60)
    # 60 labels, stratified by combination, own all 27.
    assert scores["coverage"].value == 1.0
    assert scores["relation_accuracy_encoded"].n == scores["images_judged"].value
    assert "component_spread" not in scores
    assert "mig_converted" not in scores
    assert math.isfinite(scores["relation_accuracy_latent"].value)
