"""Own pictures: adding, describing, preparing and splitting them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

from tests.core.data.own_pictures.own_bars import (
    COLOURS,
    N,
    data,
    opened,
    picture,
    values_of,
    write_csv,
    write_folder,
)
from weakdis_core.config.settings import DataSettings
from weakdis_core.data import official, own
from weakdis_core.data.prepared import prepare
from weakdis_core.data.splits import splits_of
from weakdis_core.data.variants import variant_of
from weakdis_core.errors import UserError
from weakdis_core.presets import preset
from weakdis_core.seeding import numpy_generator


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


def test_the_input_has_noise_only_where_the_description_allows_it(home: Path) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars")
    data("add", "noisy", "--images", "bars", "--transformations", "noise")
    assert preset("default", "bars").loss.image_noise == 0
    assert preset("default", "bars").model.decoder == "palette_patch"
    assert preset("default", "noisy").loss.image_noise > 0


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
    given = [(row // 2 + row // 12) % 3 for row in range(60)]
    names = ("train", "val", "test")
    rows = [[f"{row:03}.png", *values_of(row), row // 2, names[given[row]]] for row in range(60)]
    folder = write_folder(home / "bars", rows)
    write_csv(folder / "metadata.csv", ["file", "colour", "place", "source", "split"], rows)
    data("add", "bars", "--images", "bars", "--group", "source")
    splits = splits_of(opened("bars"), 0)
    assert splits.validation.tolist() == [row for row in range(60) if given[row] == 1]
    assert splits.test.tolist() == [row for row in range(60) if given[row] == 2]


def test_a_value_of_no_train_label_is_left_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Place 3 is in validation and test only, and place 2 in train only.
    splits = {2: "train", 3: "test"}
    rows = [
        [f"{row:03}.png", *values_of(row), splits.get(values_of(row)[1], "")] for row in range(60)
    ]
    rows[9][3] = "val"
    folder = write_folder(home / "bars", rows)
    write_csv(folder / "metadata.csv", ["file", "colour", "place", "split"], rows)
    data("add", "bars", "--images", "bars")
    assert "place: 3 left out, without a label in train" in capsys.readouterr().out
    prepared = opened("bars")
    assert prepared.variant.factors[1].value_names == ("0", "1", "2")
    assert (prepared.factors[9:12, 1] == -1).all()
    # A description that names it is refused.
    file = home / "bars.yaml"
    file.write_text(file.read_text().replace("'2']", "'2', '3']"))
    with pytest.raises(UserError, match=r"factors\.place: '3' is not allowed: all its labels are"):
        splits_of(opened("bars"), 0)


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
    assert preset("default", "many").model.decoder == "scaled_patch", "grey pictures"
    assert (prepared.factors >= 0).sum() == 300


def test_the_picture_of_a_data_set_names_values(home: Path) -> None:
    write_folder(home / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    data("show", "--variant", "bars", "--output", "bars.png")
    with Image.open(home / "bars.png") as shown:
        assert shown.width > 500
