"""A sweep continues to its end when its terminal is closed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.sweeps.conftest import VARIANT
from tests.sweeps.support.finished import command, of_stage, runs_of

pytestmark = pytest.mark.slow


def test_a_sweep_without_a_terminal_is_confirmed(
    cache: Path, database: str, tmp_path: Path
) -> None:
    reader, output = os.openpty()
    sizes = ["--trials", "1", "--max-steps", "30", "--confirm-seeds", "1"]
    with subprocess.Popen(
        command("--name", "unseen", *sizes), cwd=tmp_path, stdin=subprocess.DEVNULL,
        stdout=output, stderr=output, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(output)
        assert os.read(reader, 1)
        os.close(reader)
        assert process.wait(timeout=PATIENCE) == 0
    parent, children = runs_of(database, VARIANT, "unseen")
    assert parent.info.status == "FINISHED"
    assert [run.info.status for run in of_stage(children, "confirm")] == ["FINISHED"]
    assert (tmp_path / "runs/unseen/report.html").exists()
