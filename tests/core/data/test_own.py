"""Own pictures: adding, describing, preparing and splitting them, and every refused input."""

import csv
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from weakdis_core.cli import console
from weakdis_core.cli import data_commands as commands
from weakdis_core.config.settings import DataSettings
from weakdis_core.data import official, own
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.splits import splits_of
from weakdis_core.data.variants import variant_of
from weakdis_core.errors import UserError
from weakdis_core.presets import preset
from weakdis_core.seeding import numpy_generator

COLOURS = {"blue": (40, 60, 220), "green": (30, 200, 30), "red": (220, 30, 30)}
N = 90


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEAKDIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values_of(row: int) -> tuple[str, int]:
    return sorted(COLOURS)[row % 3], row // 3 % 4


def picture(row: int) -> Image.Image:
    """A bar of one of three colours at one of four places, a different picture for each row."""
    colour, place = values_of(row)
    pixels = np.zeros((48, 80, 3), np.uint8)
    pixels[10:38, 8 + 16 * place : 20 + 16 * place] = COLOURS[colour]
    pixels[:, 0] = row
    return Image.fromarray(pixels)


def write_folder(folder: Path, rows: list[list[Any]] | None = None) -> Path:
    """Write the pictures, and the labels of the first sixty; one of them lacks its place."""
    folder.mkdir()
    for row in range(N):
        picture(row).save(folder / f"{row:03}.png")
    if rows is None:
        rows = [[f"{row:03}.png", *values_of(row), row // 2] for row in range(60)]
        rows[7][2] = ""
    write_csv(folder / "metadata.csv", ["file", "colour", "place", "source"], rows)
    return folder


def write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def data(*args: str) -> None:
    commands.run(args, "weakdis data")


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as caught:
        console.main(lambda: data(*args))
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.startswith("error: ")
    return shown


def opened(name: str) -> Prepared:
    return prepare(DataSettings.model_validate(own.data_settings(name)))


def test_a_folder_with_missing_labels_becomes_a_variant(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    shown = " ".join(capsys.readouterr().out.split())
    assert "colour categorical blue (20), green (20), red (20) 60 (67%)" in shown
    assert "place ordinal 0 (15), 1 (15), 2 (14), 3 (15) 59 (66%)" in shown
    assert "90 pictures, RGB, 64 x 64 pixels" in shown
    assert "12 of 12 occur, by the 59 pictures" in shown
    prepared = opened("bars")
    assert len(list(prepared.path.parent.iterdir())) == 2, "prepared once, with a lock"
    assert prepared.images.shape == (N, 3, 64, 64)
    assert prepared.variant.relation_names == ("colour_next", "place_next", "place_previous")
    assert prepared.variant.factors[0].value_names == tuple(sorted(COLOURS))
    expected = [[row % 3, row // 3 % 4] if row < 60 else [-1, -1] for row in range(N)]
    expected[7][1] = -1
    assert prepared.factors.tolist() == expected
    # The aspect is kept: the bar is in the middle rows.
    assert (prepared.images[1, :, 32].max(axis=1) > 150).any()


def test_the_name_the_file_and_the_hash_are_one_data_set(home: Path) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--output", "place/bars.yaml")
    by_name, by_file = preset("default", "bars"), preset("default", "place/bars.yaml")
    assert by_name.hash() == by_file.hash()
    assert (by_name.data.source, by_name.data.labels) == ("own", 0)
    assert variant_of(by_name.data).n_values == (3, 4)
    assert by_name.flat()["data.description"] == by_name.data.description.digest  # type: ignore[union-attr]
    # Places and texts change no number, so a moved folder has the same hash.
    (home / "bars").rename(home / "moved")
    file = home / "place" / "bars.yaml"
    file.write_text(file.read_text().replace(str(home / "bars"), str(home / "moved")))
    assert preset("default", "bars").hash() == by_name.hash()


def edit_picture(home: Path) -> None:
    picture(5).rotate(90).save(home / "bars" / "000.png")


def edit_label(home: Path) -> None:
    file = home / "bars" / "metadata.csv"
    file.write_text(file.read_text().replace("001.png,green", "001.png,red"))


def edit_description(home: Path) -> None:
    file = home / "bars.yaml"
    file.write_text(file.read_text().replace("kind: ordinal", "kind: circular"))


@pytest.mark.parametrize("edit", [edit_picture, edit_label, edit_description])
def test_an_edit_makes_another_data_set(home: Path, edit: Callable[[Path], None]) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    before = preset("default", "bars")
    own.check_unchanged(before.data)
    edit(home)
    assert preset("default", "bars").hash() != before.hash()
    with pytest.raises(UserError, match=r"bars have changed .*begin a new sweep"):
        own.check_unchanged(before.data)
    # Its prepared pictures are still there, and are not made again from the edited ones.
    assert prepare(before.data).factors[1].tolist() == [1, 0]


def test_an_edited_source_is_not_prepared_under_the_old_digest(home: Path) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    before = preset("default", "bars").data.model_copy(update={"max_images": 80_000})
    edit_picture(home)
    official.cache_root().joinpath("prepared").rename(home / "elsewhere")
    with pytest.raises(UserError, match="have changed since"):
        prepare(before)


ARRAYS = np.stack([np.asarray(picture(row)) for row in range(N)])


@pytest.mark.parametrize(
    "pixels",
    [
        ARRAYS,
        ARRAYS.transpose(0, 3, 1, 2),
        ARRAYS.astype(np.float32) / 255,
        ARRAYS.astype(np.uint16) * 257,
    ],
    ids=["bytes", "channels first", "floats", "16 bits"],
)
def test_arrays_of_any_layout_give_the_pictures_of_the_folder(home: Path, pixels: Any) -> None:
    write_folder(home / "bars")
    data("add", "folder", "--images", "bars", "--nuisance", "source")
    labels = np.array([[row % 3, row // 3 % 4] if row < 60 else [-1, -1] for row in range(N)])
    np.savez_compressed(home / "bars.npz", images=pixels, labels=labels)
    data("add", "npz", "--images", "bars.npz:images", "--labels", "bars.npz:labels")
    with h5py.File(home / "bars.h5", "w") as file:
        file.create_dataset("images", data=pixels, chunks=(7, *pixels.shape[1:]))
    write_csv(home / "rows.csv", ["colour", "place"], np.where(labels < 0, "", labels).tolist())
    data("add", "h5", "--images", "bars.h5:images", "--labels", "rows.csv")
    folder, npz, h5 = map(opened, ("folder", "npz", "h5"))
    np.testing.assert_array_equal(npz.images, folder.images)
    np.testing.assert_array_equal(h5.images, folder.images)
    np.testing.assert_array_equal(npz.factors, labels)
    np.testing.assert_array_equal(h5.factors, labels)
    assert npz.variant.factor_names == ("factor_1", "factor_2")


def test_a_grid_has_its_own_order_and_needs_no_labels(home: Path) -> None:
    sizes = (6, 2, 3, 1)
    values = np.stack(np.unravel_index(np.arange(36), sizes), axis=1)
    pixels = np.zeros((36, 32, 32), np.uint8)
    pixels[:, 0, :4] = 50 * values
    np.savez(home / "grid.npz", images=pixels)
    data("add", "grid", "--images", "grid.npz", "--grid", "size=6,2,hue=3,1", "--size", "32")
    prepared = opened("grid")
    assert prepared.variant.factor_names == ("size", "factor_2", "hue")
    assert [each.kind for each in prepared.variant.factors] == [
        "ordinal",
        "categorical",
        "circular",
    ]
    np.testing.assert_array_equal(prepared.factors, values[:, :3])
    np.testing.assert_array_equal(prepared.images[:, 0, 0, :3], 50 * values[:, :3])


def test_values_may_stand_for_several_cells_and_leave_cells_out(home: Path) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    description = yaml.safe_load((home / "bars.yaml").read_text())
    description["factors"]["side"] = {
        "column": "place", "values": {"left": [0, 1], "right": 3},
    }  # fmt: skip
    del description["factors"]["place"]
    description["relations"] = {"swap": ["side", 1]}
    (home / "sides.yaml").write_text(yaml.safe_dump({**description, "name": "sides"}))
    prepared = opened("sides.yaml")
    assert prepared.variant.factors[1].value_names == ("left", "right")
    places = [row // 3 % 4 if row < 60 and row != 7 else -1 for row in range(N)]
    assert prepared.factors[:, 1].tolist() == [{0: 0, 1: 0, 3: 1}.get(each, -1) for each in places]


def test_groups_and_given_splits_are_kept(home: Path) -> None:
    rows = [
        [f"{row:03}.png", *values_of(row), row // 2, ("train", "val", "test")[row // 2 % 3]]
        for row in range(60)
    ]
    folder = write_folder(home / "bars", rows)
    write_csv(folder / "metadata.csv", ["file", "colour", "place", "source", "split"], rows)
    data("add", "bars", "--images", "bars", "--group", "source")
    splits = splits_of(opened("bars"), 0)
    assert splits.validation.tolist() == [row for row in range(60) if row // 2 % 3 == 1]
    assert splits.test.tolist() == [row for row in range(60) if row // 2 % 3 == 2]


def test_max_images_never_drops_a_labelled_picture(home: Path) -> None:
    folder = home / "many"
    folder.mkdir()
    pixels = numpy_generator(0, "noise").integers(0, 255, (1200, 8, 8), np.uint8)
    labels = np.where(np.arange(1200) % 4 == 0, np.arange(1200) % 3, -1)
    np.savez(home / "many.npz", images=pixels, labels=labels)
    data("add", "many", "--images", "many.npz:images", "--labels", "many.npz:labels")
    settings = own.data_settings("many") | {"max_images": 1000}
    prepared = prepare(DataSettings.model_validate(settings))
    assert len(prepared.images) == 1000
    assert (prepared.factors >= 0).sum() == 300


def test_the_picture_of_a_data_set_names_values(home: Path) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    data("show", "--variant", "bars", "--output", "bars.png")
    with Image.open(home / "bars.png") as shown:
        assert shown.width > 500


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


@pytest.mark.parametrize(
    "make",
    [
        one_value, stray_label, few_labels, damaged_picture, video, no_file_column, no_labels,
        empty_folder, ragged_rows,
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


def write_matrix(path: Path, values: Any) -> None:
    """Write a binary matrix of SmallNORB's format, in which at least three sizes are written."""
    magic = {"u1": 0x1E3D4C55, "i4": 0x1E3D4C54}[values.dtype.str[1:]]
    sizes = [*values.shape, 1, 1][: max(3, values.ndim)]
    path.write_bytes(np.array([magic, values.ndim, *sizes], "<i4").tobytes() + values.tobytes())


def published_norb(home: Path) -> tuple[str, list[list[int]]]:
    values = np.stack(np.unravel_index(np.arange(270), (5, 9, 6)), axis=1)
    azimuths = np.arange(270) % 18
    pixels = np.zeros((270, 2, 96, 96), np.uint8)
    pixels[:, 0] = np.arange(270)[:, None, None] % 200 + 20
    info = np.stack([np.full(270, 4), values[:, 1], 2 * azimuths, values[:, 2]], axis=1)
    write_matrix(home / "norb-dat.mat", pixels)
    write_matrix(home / "norb-cat.mat", values[:, 0].astype("<i4"))
    write_matrix(home / "norb-info.mat", info.astype("<i4"))
    expected = np.column_stack([values[:, :2], azimuths, values[:, 2]])
    return "norb-dat.mat", expected.tolist()


def published_cars(home: Path) -> tuple[str, list[list[int]]]:
    (home / "cars").mkdir()
    for car in range(183):
        own = 4 * np.arange(24)[:, None] + np.arange(4)
        views = np.broadcast_to(own.astype(np.uint8), (8, 8, 3, 24, 4))
        savemat(home / "cars" / f"car_{car:03}_mesh.mat", {"im": views})
    values = np.stack(np.unravel_index(np.arange(183 * 96), (183, 4, 24)), axis=1)
    return "cars", values[:, 1:].tolist()


def published_mpi3d(home: Path) -> tuple[str, list[list[int]]]:
    # The published layout with tiny pictures: all 1,036,800 of them.
    sizes = (6, 6, 2, 3, 3, 40, 40)
    np.savez_compressed(home / "toy.npz", images=np.zeros((math.prod(sizes), 4, 4, 3), np.uint8))
    return "toy.npz:images", []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("like", "make"),
    [("smallnorb", published_norb), ("cars3d", published_cars), ("mpi3d", published_mpi3d)],
)
def test_published_data_sets_have_descriptions(
    home: Path, like: str, make: Callable[[Path], tuple[str, list[list[int]]]]
) -> None:
    images, expected = make(home)
    data("add", "published", "--like", like, "--images", images)
    prepared = opened("published")
    assert prepared.variant.relations
    if expected:
        assert prepared.factors.tolist() == expected
    else:
        assert prepared.factors.shape == (50_000, 5)
        assert {tuple(each) for each in np.unique(prepared.factors, axis=0).tolist()} == set(
            itertools.product(*map(range, (6, 6, 2, 3, 3)))
        )
    if like == "cars3d":
        views = 4 * prepared.factors[:, 1] + prepared.factors[:, 0]
        np.testing.assert_array_equal(prepared.images[:, 0, 32, 32], views)
    if like == "smallnorb":
        assert prepared.images[:, 0, 32, 32].tolist() == [row % 200 + 20 for row in range(270)]
