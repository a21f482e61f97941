"""The old path of the paper's rows and the study path give the same digits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.archive import scores_of
from analysis.frame import read_frame
from reproduction import cells
from reproduction.rows import Scores
from reproduction.work import train_cell
from tests.reproduction import small
from tests.sweeps import small_study
from weakdis_core.score_counts import COUNTS, count_of

SCRIPT = Path(small_study.__file__)


def study(name: str, place: Path) -> None:
    """Train a study's runs of seed 11 with the command a user types."""
    call = [sys.executable, str(SCRIPT), "--study", name, "--variant", "dsprites_v2"]
    call += ["--seeds", "11", "--data-source", "rendered"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        call, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_three_runs_have_the_same_scores_by_both_paths(
    small_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "preset", small.small_preset)
    monkeypatch.setattr(cells, "LITERAL_VARIANT", "dsprites_v2")
    monkeypatch.setattr(cells, "LITERAL", {})
    wanted = [
        cells.ours("dsprites_v2", "rendered", [11])[0],
        cells.previous_work("dsprites_v2", "rendered")[60][0],
        cells.literal("rendered")[0],
    ]
    for name in ("models", "baselines", "controls"):
        study(name, tmp_path)
    monkeypatch.chdir(tmp_path)
    runs = read_frame()
    for cell in wanted:
        run, old = train_cell(cell, "abc")
        (row,) = runs.index[runs["row"].eq(cell.name) & runs["seed"].eq(11)]
        assert runs["config_hash"][row] == run.config
        new = scores_of(runs.loc[row])
        assert without_nan(old) == {
            metric: (value, count_of(metric, new))
            for metric, value in new.items()
            if metric not in COUNTS and not math.isnan(value)
        }


def without_nan(scores: Scores) -> dict[str, tuple[float, int | None]]:
    return {
        name: (each.value, each.n) for name, each in scores.items() if not math.isnan(each.value)
    }
