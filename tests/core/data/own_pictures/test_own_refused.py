"""Own pictures, labels and descriptions that are refused, each with one clear line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.core.data.own_pictures.own_bars import (
    data,
    opened,
    picture,
    values_of,
    write_csv,
    write_folder,
)
from weakdis_core.cli import console
from weakdis_core.errors import UserError


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as caught:
        console.main(lambda: data(*args))
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.startswith("error: ")
    return shown


def one_value(home: Path) -> list[str]:
    rows = [[f"{row:03}.png", "red", row % 4] for row in range(60)]
    write_csv(write_folder(home / "x") / "metadata.csv", ["file", "colour", "place"], rows)
    return ["column 'colour' is not allowed as a factor", "'red' (60)", "--nuisance colour"]


def stray_label(home: Path) -> list[str]:
    with (write_folder(home / "x") / "metadata.csv").open("a") as file:
        file.write("999.png,red,1,7\n")
    return ["999.png", "not among the pictures"]


def few_labels(home: Path) -> list[str]:
    rows = [[f"{row:03}.png", *values_of(row)] for row in range(24)]
    write_csv(write_folder(home / "x") / "metadata.csv", ["file", "colour", "place"], rows)
    return ["labels: 24 of colour are not enough: 30 are needed"]


def damaged_picture(home: Path) -> list[str]:
    (write_folder(home / "x") / "004.png").write_bytes(b"no picture")
    return ["004.png", "cannot be read"]


def video(home: Path) -> list[str]:
    (write_folder(home / "x") / "clip.mp4").write_bytes(b"")
    return ["clip.mp4", "extract frames", "--group"]


def no_file_column(home: Path) -> list[str]:
    write_csv(write_folder(home / "x") / "metadata.csv", ["name", "colour"], [["000.png", "red"]])
    return ["it has no column file"]


def no_labels(home: Path) -> list[str]:
    (write_folder(home / "x") / "metadata.csv").unlink()
    return ["labels: none given", "--grid"]


def empty_folder(home: Path) -> list[str]:
    (home / "x").mkdir()
    return ["it has no pictures"]


def ragged_rows(home: Path) -> list[str]:
    with (write_folder(home / "x") / "metadata.csv").open("a") as file:
        file.write("001.png,red\n")
    return ["line 62 has 2 cells"]


def equal_in_two_splits(home: Path) -> list[str]:
    rows = [[f"{row:03}.png", *values_of(row), ("train", "test")[row % 2]] for row in range(60)]
    folder = write_folder(home / "x", rows)
    write_csv(folder / "metadata.csv", ["file", "colour", "place", "split"], rows)
    picture(0).save(folder / "001.png")
    return ["are not allowed in two splits: 1 of 90 pictures"]


@pytest.mark.parametrize(
    "make",
    [
        one_value, stray_label, few_labels, damaged_picture, video, no_file_column, no_labels,
        empty_folder, ragged_rows, equal_in_two_splits,
    ],
)  # fmt: skip
def test_a_bad_folder_is_refused_in_one_line(
    home: Path, make: Callable[[Path], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    parts = make(home)
    shown = refused(capsys, "add", "x", "--images", "x")
    assert shown.count("\n") == 1
    for part in parts:
        assert part in shown
    assert not (home / "x.yaml").exists()


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--images", "nowhere"], ["images: nowhere is not allowed"]),
        (["--images", "a.npz:x"], ["a.npz", "expected x.npy"]),
        (["--images", "a.npz"], ["images, labels, ragged", "name one"]),
        (["--images", "a.npz:ragged"], ["ragged holds object"]),
        (["--images", "a.npz:labels"], ["(n, height, width)"]),
        (["--images", "a.npz:images", "--grid", "5,6"], ["5 x 6", "30 pictures", "36"]),
        (["--images", "a.npz:images", "--grid", "6,x"], ["grid: '6,x' is not allowed"]),
        (["--images", "a.npz:images", "--labels", "b.csv"], ["3 rows for 36 pictures"]),
        (["--images", "a.npz:images", "--labels", "none.csv"], ["none.csv cannot be read"]),
        (["--images", "clip.mp4"], ["videos are not read"]),
        (["--images", "a.npz:images", "--labels", "a.npz:labels", "--group", "g"], ["group: 'g'"]),
    ],
)
def test_bad_arguments_are_refused(
    home: Path, args: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ragged = np.empty(36, object)
    ragged[:] = [np.zeros(n) for n in range(36)]
    labels = np.arange(36)[:, None] % 3
    np.savez(home / "a.npz", images=np.zeros((36, 8, 8), np.uint8), labels=labels, ragged=ragged)
    write_csv(home / "b.csv", ["colour"], [["red"], ["blue"], ["red"]])
    (home / "clip.mp4").write_bytes(b"")
    shown = refused(capsys, "add", "x", *args)
    for part in parts:
        assert part in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"version: 2 is not allowed: Input should be 1"),
        ({"name": "dsprites_v4"}, r"name: 'dsprites_v4' is not allowed: a shipped variant"),
        ({"name": "a b"}, r"name: 'a b' is not allowed"),
        ({"colour": 1}, r"colour: 1 is not allowed: Extra inputs"),
        ({"factors": {"a": {"values": [1]}}}, r"factors\.a\.values: .* at least 2"),
        ({"factors": {"a": {"values": [1, 1]}}}, r"1 stands twice"),
        (
            {"factors": {"a": {"values": {"x": [1], "y": [1]}}}, "relations": {}},
            r"factors\.a: 1 belongs to two",
        ),
        (
            {"factors": {"a b": {"values": [1, 2]}}, "relations": {}},
            r"factors: 'a b' is not allowed",
        ),
        ({"relations": {"up": ["height", 1]}}, r"relations\.up: 'height' is not one of"),
        ({"group": "video"}, r"group: 'video' is not allowed: the labels have the columns"),
    ],
)
def test_a_wrong_description_is_refused(home: Path, change: dict[str, Any], message: str) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    description = yaml.safe_load((home / "bars.yaml").read_text())
    (home / "other.yaml").write_text(yaml.safe_dump({**description, **change}))
    with pytest.raises(UserError, match=message):
        opened("other.yaml")


def test_an_existing_description_is_not_overwritten(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars")
    capsys.readouterr()
    assert "exists; edit it" in refused(capsys, "add", "bars", "--images", "bars")


def test_a_missing_description_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars")
    (home / "bars.yaml").unlink()
    capsys.readouterr()
    shown = refused(capsys, "show", "--variant", "bars", "--output", "x.png")
    assert "bars.yaml is missing" in shown
    data("list")
    assert "bars.yaml is missing" in capsys.readouterr().out
