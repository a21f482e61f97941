"""A real sweep of own pictures by the commands that users run."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis import load
from tests.sweeps.support.finished import SCRIPT, runs_of
from weakdis_core.seeding import numpy_generator

pytestmark = pytest.mark.slow

COLOURS = ("red", "green", "blue")


def write_squares(folder: Path) -> None:
    """Write pictures of a coloured square at one of two places; every second has no label."""
    folder.mkdir()
    generator, rows = numpy_generator(0, "squares"), []
    for row in range(120):
        pixels = generator.integers(0, 40, (32, 32, 3), np.uint8)
        pixels[8:24, 2 + 16 * (row % 2) : 14 + 16 * (row % 2), row // 2 % 3] = 250
        Image.fromarray(pixels).save(folder / f"{row}.png")
        if row // 6 % 2:
            rows.append([f"{row}.png", COLOURS[row // 2 % 3], row % 2])
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "colour", "place"], *rows])


def weakdis(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "sweeps.cli.weakdis", *words]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False, env=None)


def test_own_pictures_are_swept_and_their_model_needs_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAKDIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parents[1]))
    write_squares(tmp_path / "squares")
    added = weakdis(tmp_path, "data", "add", "squares", "--images", "squares", "--size", "32")
    assert added.returncode == 0, added.stderr
    assert "6 of 6 occur, by the 60 pictures" in added.stdout
    small = ("model.channels=8", "model.hidden=32", "training.batch_size=8", "data.max_images=1000")
    sets = [part for each in small for part in ("--set", each)]
    flags = ["--variant", "squares", "--preset", "quick", "--max-steps", "30", "--trials", "1"]
    ended = weakdis(tmp_path, "sweep", *flags, "--name", "own", *sets)
    assert ended.returncode == 0, ended.stderr
    assert "Images: own." in ended.stdout
    assert "120 images, own" in ended.stdout
    report = (tmp_path / "runs" / "own" / "report.html").read_text()
    for shown in ("colour, mean over its values", "--variant squares"):
        assert shown in report
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    parent, (trial,) = runs_of(address, "squares", "own")
    # Six test images of each combination would be 36 of 60 in train.
    assert trial.data.metrics["val/images_labelled"] == 12
    assert len(trial.data.params["data.description"]) == 16
    assert parent.data.tags["data.source"] == "own"
    edited = tmp_path / "squares" / "0.png"
    edited.write_bytes((tmp_path / "squares" / "1.png").read_bytes())
    refused = weakdis(tmp_path, "sweep", "--resume", "own", "--trials", "2")
    assert refused.returncode == 2
    assert "squares have changed" in refused.stderr
    # The model knows its data set without the pictures, the description and the cache.
    image = Image.open(tmp_path / "squares" / "5.png").copy()
    for path in (tmp_path / "squares", tmp_path / "cache"):
        shutil.rmtree(path)
    (tmp_path / "squares.yaml").unlink()
    model = load("models:/weakdis-squares/latest", address)
    assert model.variant.factors[0].value_names == ("blue", "green", "red")
    assert model.read(image)["colour"].names[0] in COLOURS
    assert model.set(image, colour="red", place="1").shape == (1, 3, 32, 32)
