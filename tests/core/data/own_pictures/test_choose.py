"""`weakdis data choose`: pictures to label, as a folder and a CSV to fill in."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.core.data.own_pictures.own_bars import data, opened, values_of, write_folder
from weakdis_core.cli import data_commands as commands
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.errors import UserError
from weakdis_core.training import choice


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "STEPS", 3)


def test_unlabelled_pictures_of_a_folder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(home / "pictures")
    data("add", "bars", "--images", "pictures")
    capsys.readouterr()
    data("choose", "--variant", "bars", "--labels", "8", "--output", "to_label")
    assert capsys.readouterr().out == (
        "to_label: 8 pictures, the most typical one first, and labels.csv to fill in\n"
    )
    with (home / "to_label" / "labels.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["file", "colour", "place", "source"][: len(head)]
    # The last thirty of ninety have no label.
    names = [row[0] for row in rows]
    assert len(set(names)) == 8
    assert all(60 <= int(name.removesuffix(".png")) < 90 for name in names)
    assert all(cell == "" for row in rows for cell in row[1:])
    for name in names:
        content = (home / "to_label" / name).read_bytes()
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert pixels.shape == (64, 64, 3)
    # Filled in and appended to the labels, they are read.
    filled = [[name, *values_of(int(name.removesuffix(".png")))] for name in names]
    with (home / "pictures" / "metadata.csv").open("a", newline="") as file:
        csv.writer(file).writerows([*row, 40 + place] for place, row in enumerate(filled))
    data("add", "more", "--images", "pictures")
    labelled = (opened("more").factors != UNKNOWN).any(axis=1)
    assert labelled.sum() == 60 + 8


def test_train_images_of_a_variant(home: Path) -> None:
    data("choose", "--variant", "dsprites_v2", "--labels", "12", "--output", "sprites")
    files = sorted((home / "sprites").glob("*.png"))
    assert len(files) == 12
    for file in files:
        pixels = np.asarray(Image.open(io.BytesIO(file.read_bytes())))
        assert pixels.shape == (64, 64)
        assert set(np.unique(pixels)) == {0, 255}
    text = (home / "sprites" / "labels.csv").read_text().splitlines()
    assert text[0] == "file,shape,posX,posY"
    assert len(text) == 13


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--labels", "0"), "labels: 0 is not allowed: it must be at least 1"),
        (("--labels", "31"), "labels: 31 is not allowed: 30 pictures of bars have no label"),
        (("--output", "pictures"), "output: pictures exists; remove it, or name another folder"),
        (("--output", "file/out"), "output: file/out cannot be written"),
    ],
)
def test_refusals(home: Path, flags: tuple[str, ...], message: str) -> None:
    write_folder(home / "pictures")
    (home / "file").touch()
    data("add", "bars", "--images", "pictures")
    flags = flags if "--output" in flags else (*flags, "--output", "out")
    with pytest.raises(UserError, match=message):
        commands.run(("choose", "--variant", "bars", *flags), "weakdis data")
    assert not (home / "out").exists()
