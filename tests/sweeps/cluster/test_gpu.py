"""A real sweep on a GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from tests.patience import PATIENCE
from tests.sweeps.support.finished import command, runs_of

pytestmark = pytest.mark.gpu


def test_trials_share_the_gpu(cache: Path, tmp_path: Path) -> None:
    call = command("--name", "shared", "--trials", "6", "--time-budget", "120")
    done = subprocess.run(
        call, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, runs = runs_of(f"sqlite:///{tmp_path / 'mlflow.db'}", "dsprites_v2", "shared")
    assert len(runs) == 6
    assert {run.data.tags["device"] for run in runs} == {torch.cuda.get_device_name(0)}
    starts, ends = (
        [getattr(run.info, f"{name}_time") for run in runs] for name in ("start", "end")
    )
    assert max(starts[:4]) < min(ends[:4]), "a quarter of the GPU each: four at once"
