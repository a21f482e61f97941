"""A sweep continues to its end when its terminal is closed, and logs no pictures if asked to."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.sweeps.conftest import VARIANT
from tests.sweeps.support.finished import command, of_stage, runs_of
from weakdis_core.data.picture_files import read_picture

pytestmark = pytest.mark.slow


def test_a_sweep_without_a_terminal_and_pictures_is_confirmed(
    cache: Path, database: str, tmp_path: Path
) -> None:
    reader, output = os.openpty()
    sizes = ["--trials", "1", "--max-steps", "30", "--confirm-seeds", "1", "--no-pictures"]
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
    assert '<img src="data:' not in (tmp_path / "runs/unseen/report.html").read_text()
    endings = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert not endings & {".png", ".jpg", ".webp"}
    assert len(list(tmp_path.glob("mlruns/**/checkpoint.pt"))) > 1
    example, *_ = tmp_path.glob("mlruns/**/serving_input_example.json")
    (row,) = json.loads(example.read_text())["dataframe_split"]["data"]
    assert len(set(read_picture(b64decode(row[0]), 1).pixels.flatten().tolist())) == 1
