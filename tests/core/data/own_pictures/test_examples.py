"""Example data sets: what their folders contain, and that `data add` reads them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakdis_core.cli.data_commands import run
from weakdis_core.data.own import data_settings
from weakdis_core.data.own_pictures.examples import (
    EXAMPLES,
    PEOPLE_TEST,
    Drawn,
    Example,
    draw_digits,
    write_example,
)
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_people_differ_and_have_a_split(tmp_path: Path) -> None:
    write_example("people", tmp_path / "people", pictures=100)
    rows = rows_of(tmp_path / "people")
    assert len(rows) == 100 + PEOPLE_TEST
    splits = Counter(row["split"] for row in rows)
    assert splits == {"train": 94, "validation": 3, "test": 3 + PEOPLE_TEST}
    pictures = [pixels(tmp_path / "people" / row["file"]) for row in rows]
    assert len({picture.tobytes() for picture in pictures}) == len(rows)
    assert {picture.shape for picture in pictures} == {(64, 64, 3)}
    seen = {(row["role"], row["gender"], row["tone"]) for row in rows}
    assert len(seen) == 192 - 20


def test_digits_of_one_original_look_alike_in_their_cells(tmp_path: Path) -> None:
    write_example("digits", tmp_path / "digits", pictures=300, labelled=200)
    rows = rows_of(tmp_path / "digits")
    assert len(rows) == 200
    assert len(list((tmp_path / "digits").glob("*.png"))) == 300
    by_source: dict[str, set[str]] = {}
    for row in rows:
        by_source.setdefault(row["source"], set()).add(row["digit"])
        picture = pixels(tmp_path / "digits" / row["file"]).max(2)
        x, y = 2 + 21 * int(row["column"]), 2 + 21 * int(row["row"])
        assert picture[y : y + 18, x : x + 18].sum() == picture.sum() > 0
    assert all(len(digits) == 1 for digits in by_source.values())


def test_an_example_is_the_same_for_the_same_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        write_example("digits", tmp_path / name, pictures=20, labelled=10, seed=seed)
    first, again, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]
        for name in ("first", "again", "other")
    )
    assert first == again
    assert first != other


def test_an_interrupted_example_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(pictures: int, generator: np.random.Generator) -> Drawn:
        yield next(draw_digits(pictures, generator))
        raise KeyboardInterrupt

    monkeypatch.setitem(EXAMPLES, "digits", Example(draw, 20, 10))
    with pytest.raises(KeyboardInterrupt):
        write_example("digits", tmp_path / "digits")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_pictures_of_a_variant_become_an_own_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(["example", "dsprites_v2", "--pictures", "1000", "--labelled", "400"], "weakdis data")
    assert "weakdis data add dsprites_v2_files --images dsprites_v2" in capsys.readouterr().out
    run(["add", "dsprites_v2_files", "--images", "dsprites_v2"], "weakdis data")
    description = data_settings("dsprites_v2_files")["description"]
    variant = get_variant("dsprites_v2")
    assert set(description["factors"]) == set(variant.factor_names)
    assert description["channels"] == variant.channels
    assert description["labelled"] == 400
    assert {int(value) for value in np.unique(pixels(tmp_path / "dsprites_v2" / "00000.png"))} == {
        0,
        255,
    }


def test_unknown_examples_and_taken_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name: 'cats' is not an example: choose one of people"):
        write_example("cats", tmp_path / "cats")
    with pytest.raises(UserError, match=r"output: .* exists"):
        write_example("digits", tmp_path)
    with pytest.raises(UserError, match="pictures: 0 is not allowed"):
        run(["example", "digits", "--pictures", "0"], "weakdis data")
