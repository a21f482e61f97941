"""Pictures: names, sizes, reproducibility and numbers."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.core.conftest import SMALL, bars_config, small_config
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.splits import split
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle, train_oracle
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import partners
from weakdis_core.pictures.confusion import (
    Confusion,
    confusions,
    write_confusion,
    write_confusion_table,
)
from weakdis_core.pictures.grid import GridRow, write_rows
from weakdis_core.pictures.partitions import ellipse_of, map_partition
from weakdis_core.pictures.sheet import draw_sheet
from weakdis_core.pictures.write import CAPTIONS, write_pictures
from weakdis_core.presets import preset
from weakdis_core.seeding import numpy_generator
from weakdis_core.training.trainer import Trainer

OF_ONE_CODE = {"manipulation.png", "repeated.png", "confusion.png", "confusion.csv"}
ALL = {f"{name}.png" for name in CAPTIONS} | {"confusion.csv"}


def trained(prepared: Prepared, oracle: Oracle) -> Trainer:
    trainer = Trainer(small_config(prepared.variant.name), prepared, oracle)
    list(trainer.fit())
    return trainer


@pytest.fixture(scope="module")
def trainer(sprites: Prepared, sprites_oracle: Oracle) -> Trainer:
    return trained(sprites, sprites_oracle)


def test_a_sheet_has_a_row_for_each_relation(trainer: Trainer) -> None:
    sheet = draw_sheet(trainer)
    assert draw_sheet(trainer) == sheet
    with Image.open(io.BytesIO(sheet)) as image:
        # Six images, below one another the image, its reconstruction, and each relation.
        assert image.height == 67 * (2 + len(trainer.variant.relations))
        assert image.width == 100 + 67 * 6


def assert_small_and_white(files: list[Path]) -> None:
    for path in files:
        assert path.stat().st_size < 400_000
        if path.suffix == ".png":
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
            assert pixels.min() < 50
    assert sum(path.stat().st_size for path in files) < 1_500_000


@pytest.mark.slow
def test_pictures_of_a_checkpoint_are_reproducible(
    sprites: Prepared, sprites_oracle: Oracle, tmp_path: Path
) -> None:
    first = trained(sprites, sprites_oracle)
    first.save(tmp_path / "checkpoint.pt")
    files = write_pictures(first, sprites_oracle, tmp_path / "new" / "first")
    assert {path.name for path in files} == ALL
    assert set(files) == set((tmp_path / "new" / "first").iterdir())
    assert_small_and_white(files)
    second = Trainer(first.config, sprites, sprites_oracle)
    second.load(tmp_path / "checkpoint.pt")
    torch.manual_seed(1)
    again = write_pictures(second, sprites_oracle, tmp_path / "second")
    for one, other in zip(files, again, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_all_pictures(variant: str, cache: Path, tmp_path: Path) -> None:
    prepared = prepare(small_config(variant).data)
    oracle = train_oracle(prepared, split(prepared.digests, 0), steps=2)
    kinds: dict[ModelKind, set[str]] = {"modular": ALL, "monolithic": OF_ONE_CODE}
    for model, names in kinds.items():
        config = small_config(variant, model).with_values({"data.labels": 700})
        trainer = Trainer(config, prepared, oracle)
        # The pictures of an untrained model are noise.
        trainer.enter_full_training()
        files = write_pictures(trainer, oracle, tmp_path / model)
        assert {path.name for path in files} == names
        assert_small_and_white(files)


def test_folder_that_cannot_be_created_is_an_error(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/pictures/manipulation\.png: cannot be written"):
        write_pictures(trainer, trainer.evaluator.oracle, tmp_path / "file" / "pictures")


@pytest.mark.parametrize("model", ["modular", "monolithic"])
def test_confusions_match_the_accuracies(
    model: ModelKind, sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = preset("default", "dsprites_v2", model).with_values(SMALL | {"data.labels": 14})
    trainer = Trainer(config, sprites, sprites_oracle)
    list(trainer.fit())
    found = confusions(trainer, sprites_oracle)
    scores = trainer.evaluate("test")
    names = trainer.variant.factor_names, trainer.variant.relation_names
    assert [each.name for each in found] == [*names[0], *names[1]]
    true = trainer.bank.values[trainer.images_of("test")]
    relations = trainer.variant.relation_table()
    for each in found[: len(names[0])]:
        assert each.counts.sum() == len(true)
        assert each.accuracy == pytest.approx(scores[f"factor_accuracy_{each.name}"])
    for r, each in enumerate(found[len(names[0]) :]):
        relation = torch.full((len(true),), r)
        judged = trainer.coding.judged(true, relation)
        expected = relations.apply(true, relation)[judged, relations.factor[r]]
        assert each.counts.sum(1).tolist() == expected.bincount(minlength=3).tolist()


def test_confusion_picture_of_a_relation_without_images(tmp_path: Path) -> None:
    nothing = Confusion("relation", "bigger", np.zeros((3, 3), dtype=np.int64), tuple("012"))
    some = Confusion("factor", "scale", np.eye(3, dtype=np.int64), ("a few", "some more", "many"))
    write_confusion([some, nothing], Head("title", "Caption."), tmp_path / "confusion.png")
    assert_small_and_white([tmp_path / "confusion.png"])


def test_row_without_images_has_no_shares() -> None:
    one = Confusion("factor", "shape", np.array([[3, 1], [0, 0]]), ("a", "b"))
    assert one.accuracy == 0.75
    np.testing.assert_array_equal(one.shares, [[0.75, 0.25], [np.nan, np.nan]])
    nothing = Confusion("factor", "shape", np.zeros((2, 2), dtype=np.int64), ("a", "b"))
    assert math.isnan(nothing.accuracy)


def test_confusion_table_holds_the_counts(trainer: Trainer, tmp_path: Path) -> None:
    oracle = trainer.evaluator.oracle
    found = confusions(trainer, oracle)
    write_confusion_table(found, tmp_path / "confusion.csv")
    with (tmp_path / "confusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["kind", "name", "expected", "read", "count"]
    for each in found:
        own = [row for row in rows if (row["kind"], row["name"]) == (each.kind, each.name)]
        counts = np.zeros_like(each.counts)
        for row in own:
            place = each.values.index(row["expected"]), each.values.index(row["read"])
            counts[place] = int(row["count"])
        np.testing.assert_array_equal(counts, each.counts)


def test_map_shows_the_plane_of_the_largest_variance() -> None:
    generator = numpy_generator(0, "map")
    flat = generator.standard_normal((4000, 5)) * [0.1, 3, 0.1, 1, 0.1]
    means = np.eye(5)[[1, 3]]
    covariances = np.stack([np.diag([1.0, 2, 3, 4, 5])] * 2)
    found = map_partition(flat, means, covariances)
    np.testing.assert_allclose(found.explained, [9 / 10.03, 1 / 10.03], atol=0.01)
    np.testing.assert_allclose(np.abs(found.codes), np.abs(flat[:, [1, 3]]), atol=0.2)
    np.testing.assert_allclose(np.abs(found.means), np.eye(2), atol=0.1)
    np.testing.assert_allclose(np.abs(found.covariances[0]), np.diag([2, 4]), atol=0.1)


def test_map_of_constant_or_one_dimensional_codes() -> None:
    still = map_partition(np.ones((9, 4)), np.zeros((1, 4)), np.eye(4)[None])
    assert all(map(math.isnan, still.explained))
    line = np.arange(9.0)[:, None]
    found = map_partition(line, line[:2], np.ones((2, 1, 1)))
    assert found.codes.shape == (9, 2)
    assert found.explained == pytest.approx((1, 0))


def test_ellipse_has_the_axes_of_the_covariance() -> None:
    turn = np.array([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    width, height, angle = ellipse_of(turn @ np.diag([1.0, 9.0]) @ turn.T, 2)
    assert (width, height) == pytest.approx((4, 12))
    assert angle % 180 == pytest.approx(math.degrees(0.5))


def test_partners_differ_in_most_factors() -> None:
    values = np.array([[0, 0], [1, 1], [0, 1], [1, 1], [0, 0], [1, 0]])
    first, second = partners(values, 2)
    assert first.tolist() == [0, 1]
    assert second.tolist() == [3, 4]
    assert len(partners(values, 8)[0]) == 3


def test_images_are_drawn_without_interpolation(tmp_path: Path) -> None:
    levels = numpy_generator(0, "image").integers(0, 2, (1, 64, 64)).astype(np.float32)
    rows = [GridRow([None, levels], label="row"), GridRow([levels], framed=0)]
    write_rows(rows, ["a", "b"], Head("title", "caption"), tmp_path / "rows.png")
    with Image.open(tmp_path / "rows.png") as image:
        pixels = np.asarray(image)
    wanted = np.repeat(np.repeat(255 * levels[0], 2, axis=0), 2, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(pixels[..., 1], (8, 8))
    places = np.argwhere((windows == wanted[:8, :8]).all((2, 3)))
    found = [pixels[y : y + 128, x : x + 128, 1] for y, x in places]
    same = [part for part in found if part.shape == wanted.shape and (part == wanted).all()]
    assert len(same) == 2


def test_every_picture_has_a_caption_and_names_its_model(trainer: Trainer) -> None:
    for caption in CAPTIONS.values():
        assert caption.endswith(".")
        head = Head.of(trainer.config, caption)
        assert head.title == f"dsprites_v2, config {trainer.config.hash()}, seed 0"
        assert head.height(3) > head.height(9)


@pytest.mark.slow
def test_pictures_of_partly_labelled_images_of_another_size(
    bars: Prepared, bars_oracle: Oracle, tmp_path: Path
) -> None:
    trainer = Trainer(bars_config(), bars, bars_oracle)
    list(trainer.fit())
    assert {path.name for path in write_pictures(trainer, bars_oracle, tmp_path)} == ALL
    (tmp_path / "sheet.jpg").write_bytes(draw_sheet(trainer))
    true = trainer.bank.values[trainer.images_of("test")]
    known = (true != UNKNOWN).sum(0).tolist()
    full = int((true != UNKNOWN).all(1).sum())
    counts = [int(each.counts.sum()) for each in confusions(trainer, bars_oracle)]
    assert counts == [*known, *[full] * len(trainer.variant.relations)]
