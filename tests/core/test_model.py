"""A trained model from Python: reading, changing and drawing images."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import weakdis_core
from tests.core.conftest import SMALL, small_config
from weakdis_core import Model, UserError
from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.pictures.manipulation import manipulate, swap
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.slow
HUES, SHAPES = 10, 4


@pytest.fixture(scope="module")
def trainer(rooms: Prepared, rooms_oracle: Oracle) -> Trainer:
    """Return a briefly trained model with fitted priors and a nuisance partition."""
    trainer = Trainer(small_config("shapes3d_v2"), rooms, rooms_oracle)
    list(trainer.fit())
    return trainer


@pytest.fixture(scope="module")
def checkpoint(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "checkpoint.pt"
    trainer.save(path)
    return path


@pytest.fixture
def model(checkpoint: Path) -> Model:
    return weakdis_core.load(checkpoint)


def images_of(trainer: Trainer, n: int) -> Tensor:
    return trainer.bank.batch(trainer.images_of("test", n))


class Shift(nn.Module):
    """A relational learner without error: it moves codes by the difference of two means."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.prior, self.table = model.prior, model.variant.relation_table()

    def forward(self, codes: Tensor, relation: Tensor) -> Tensor:
        before = self.prior.classify(codes)[:, :2]
        after = self.table.apply(before, relation)
        moved = codes.clone()
        for k in range(2):
            moved[:, k] += self.prior.means[k, after[:, k]] - self.prior.means[k, before[:, k]]
        return moved


def test_the_package_imports_neither_torch_nor_mlflow_before_they_are_used() -> None:
    script = "import sys, weakdis_core, analysis; print({'torch', 'mlflow'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
    for name in weakdis_core.__all__:
        assert getattr(weakdis_core, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        getattr(weakdis_core, "train")  # noqa: B009


def test_examples_of_the_docstrings(trainer: Trainer, model: Model, checkpoint: Path) -> None:
    names: dict[str, Any] = {
        "model": model, "checkpoint": checkpoint, "images": images_of(trainer, 2).numpy(),
    }  # fmt: skip
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(sys.modules[Model.__module__], globs=names):
        runner.run(example)
    assert runner.summarize().attempted >= 10
    assert runner.summarize().failed == 0


def test_a_loaded_model_encodes_reads_and_decodes_as_in_training(
    trainer: Trainer, model: Model
) -> None:
    images, index = images_of(trainer, 20), trainer.images_of("test", 20)
    codes = model.encode(images)
    np.testing.assert_allclose(codes, trainer.codes_of(index).numpy(), atol=1e-6)
    found = model.read(images)
    values = trainer.coding.read(trainer.prior, trainer.codes_of(index)).numpy()
    for k, (name, factor) in enumerate(zip(found, trainer.variant.factors, strict=True)):
        assert name == factor.name
        np.testing.assert_array_equal(found[name].values, values[:, k])
        assert found[name].names == tuple(factor.value_names[value] for value in values[:, k])
        np.testing.assert_allclose(found[name].probabilities.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(found[name].probabilities.argmax(1), values[:, k])
    pictures = model.decode(codes)
    assert pictures.shape == images.shape
    assert 0 <= pictures.min() <= pictures.max() <= 1
    np.testing.assert_array_equal(model.decode(codes[:, None]), pictures[:, None])


def test_a_value_that_is_set_is_read_and_others_are_kept(trainer: Trainer, model: Model) -> None:
    codes = model.encode(images_of(trainer, 5))
    before = model.read_codes(codes)
    for hue in range(HUES):
        after = model.change_codes(codes, {"object_hue": hue})
        found = model.read_codes(after)
        assert set(found["object_hue"].values) == {hue}
        np.testing.assert_array_equal(found["shape"].probabilities, before["shape"].probabilities)
        np.testing.assert_array_equal(after[:, 1:], codes[:, 1:])
    both = model.read_codes(model.change_codes(codes, {"object_hue": "7", "shape": "ball"}))
    assert set(both["object_hue"].values) == {7}
    assert both["shape"].names == ("ball",) * 5
    images = images_of(trainer, 5)
    expected = model.decode(model.change_codes(codes, {"object_hue": 7, "shape": 2}))
    np.testing.assert_array_equal(model.set(images, object_hue=7, shape="ball"), expected)


def test_a_relation_wraps_around(trainer: Trainer, model: Model) -> None:
    model.networks.relational = Shift(model)  # type: ignore[assignment]
    images = images_of(trainer, 4)
    start = model.set(images, object_hue=8)
    codes = model.change_codes(model.encode(images), {"object_hue": 8})
    for times, hue in ((1, 9), (2, 0), (HUES, 8), (HUES + 3, 1)):
        moved = model.change_codes(codes, None, "object_hue_up", times)
        assert set(model.read_codes(moved)["object_hue"].values) == {hue}
        expected = model.set(images, object_hue=hue)
        np.testing.assert_allclose(model.decode(moved), expected, atol=1e-4)
    both = model.change_codes(model.encode(images), {"object_hue": 8}, "object_hue_down", 9)
    assert set(model.read_codes(both)["object_hue"].values) == {9}
    cubes = model.set(images, shape="cube")
    back = model.change_codes(model.encode(images), {"shape": "cube"}, "change_shape", times=SHAPES)
    np.testing.assert_allclose(model.decode(back), cubes, atol=1e-4)
    assert not np.allclose(start, cubes)


def test_an_interpolation_goes_through_every_value(trainer: Trainer, model: Model) -> None:
    images = images_of(trainer, 2)
    every = model.interpolate(images, "object_hue", steps=HUES)
    assert every.shape == (2, HUES, 3, 64, 64)
    for hue in range(HUES):
        np.testing.assert_allclose(every[:, hue], model.set(images, object_hue=hue), atol=1e-5)
    fine = model.interpolate(images, "shape", steps=2 * SHAPES - 1)
    np.testing.assert_allclose(fine[:, ::2], model.interpolate(images, "shape", 4), atol=1e-5)
    middle = model.encode(images)
    middle[:, 1] = model.prior.means[1, 1:3].mean(0).numpy()
    np.testing.assert_allclose(fine[:, 3], model.decode(middle), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m.apply(x, "juggle"), "relation: 'juggle' is not one of shapes3d_v2's: ch"),
        (lambda m, x: m.apply(x, "change_shape", 0), "times: 0 is not allowed: at least 1"),
        (lambda m, x: m.set(x, size=1), "factor: 'size' is not one of shapes3d_v2's: object_hue, "),
        (lambda m, x: m.set(x, shape="heart"), r"shape: 'heart' is not one of cube, .* \(0 to 3\)"),
        (lambda m, x: m.set(x, object_hue=10), "object_hue: 10 is not one of 0, 1, .*, 9 "),
        (lambda m, x: m.set(x, object_hue=0.5), "object_hue: 0.5 is not one of 0, 1, "),
        (lambda m, x: m.interpolate(x, "shape", 1), "steps: 1 is not allowed: at least 2"),
        (lambda m, x: m.decode(x), r"codes: shape \(1, 3, 64, 64\) is not allowed: \(\.\.\., 3, "),
        (lambda m, x: m.read(x[:, :1]), r"images: float32 of shape \(1, 1, 64, 64\) are not all"),
    ],
)
def test_mistakes_name_what_is_allowed(
    call: Callable[[Model, Tensor], object], message: str, trainer: Trainer, model: Model
) -> None:
    with pytest.raises(UserError, match=message):
        call(model, images_of(trainer, 1))


def test_values_need_a_fitted_prior(trainer: Trainer, model: Model) -> None:
    warm = Model(model.config, model.networks, trainer.labelled.standard())
    assert not warm.reads_factors
    with pytest.raises(UserError, match="model: modular, without a component for each value"):
        warm.read(images_of(trainer, 1))


def test_one_call_trains_saves_and_returns_a_model(
    small_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WEAKDIS_CACHE", str(small_cache))
    path = tmp_path / "own" / "checkpoint.pt"
    settings: dict[str, Any] = {**SMALL, "training.steps": 12} | {"training.evaluations": 1}
    model = weakdis_core.fit("dsprites_v2", checkpoint=path, seed=3, **settings)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "step 12 (ending" in shown.err
    assert model.config.seed == 3
    picture = Image.new("RGB", (100, 50), "white")
    read = model.read(picture)
    assert read.keys() == {"shape", "posX", "posY"}
    loaded = weakdis_core.load(path).set([picture, picture], shape="heart", posX=0)
    np.testing.assert_allclose(loaded[:1], model.set(picture, shape=2, posX=0), atol=1e-6)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"checkpoint": path}, "checkpoint: .*checkpoint.pt exists; load it or choose another"),
        ({"training__step": 3}, "training.step: no such setting; known: "),
        ({"training__steps": 3}, "training.steps: 3 is not allowed: "),
    ]
    for again, message in wrong:
        with pytest.raises(UserError, match=message):
            weakdis_core.fit("dsprites_v2", **again)


def test_manipulation_sets_values_and_then_applies_relations(
    trainer: Trainer, model: Model
) -> None:
    images = images_of(trainer, 3)
    found = manipulate(model, images, ("object_hue_up",), {"shape": "ball"}, times=2)
    assert list(found) == ["image", "reconstruction", "shape ball", "object_hue_up 2x"]
    np.testing.assert_array_equal(found["image"], images)
    np.testing.assert_array_equal(found["reconstruction"], model.decode(model.encode(images)))
    np.testing.assert_array_equal(found["shape ball"], model.set(images, shape=2))
    codes = model.change_codes(model.encode(images), {"shape": 2}, "object_hue_up", 2)
    np.testing.assert_array_equal(found["object_hue_up 2x"], model.decode(codes))


def test_images_unlike_the_training_data_are_found(trainer: Trainer, model: Model) -> None:
    # N(0, I) of each partition, of which the nuisance partition does not count.
    codes = np.zeros((2, *model.encode(images_of(trainer, 1)).shape[1:]), np.float32)
    codes[0, -1], codes[1, 0, 0] = 100, 0.1
    factors, latent = codes.shape[1] - 1, codes.shape[2]
    mode = -0.5 * factors * latent * np.log(2 * np.pi)
    known = Model(model.config, model.networks, trainer.labelled.standard(), mode - 0.001)
    assert known.is_unlike_training(codes).tolist() == [False, True]
    # The threshold of validation images is stored with the model.
    samples = trainer.config.training.evaluation_samples
    seen = trainer.codes_of(trainer.images_of("validation", samples))
    density = np.asarray(trainer.prior.log_density(seen, factors))
    assert model.lowest_density == pytest.approx(np.quantile(density, 0.01), abs=1e-3)
    found = model.is_unlike_training(np.asarray(seen))
    assert found.sum() == (density < model.lowest_density).sum() > 0
    model.lowest_density = None
    assert not model.is_unlike_training(np.asarray(seen)).any()


def test_apply_uses_the_relational_learner(trainer: Trainer, model: Model) -> None:
    images = images_of(trainer, 3)
    for index, name in enumerate(trainer.variant.relation_names):
        codes = trainer.codes_of(trainer.images_of("test", 3))
        with torch.no_grad():
            for _ in range(3):
                codes = trainer.networks.relational(codes, torch.full((3,), index))
            expected = trainer.networks.autoencoder.decode(codes).sigmoid().numpy()
        np.testing.assert_allclose(model.apply(images, name, times=3), expected, atol=1e-6)


def test_swap_takes_one_partition_of_the_other_image(trainer: Trainer, model: Model) -> None:
    first, second = images_of(trainer, 4).chunk(2)
    found = swap(model, first, second)
    partitions = trainer.networks.autoencoder.partitions
    assert found.shape[:2] == (2, partitions)
    for k in range(partitions):
        codes = model.encode(first)
        codes[:, k] = model.encode(second)[:, k]
        np.testing.assert_allclose(found[:, k], model.decode(codes), atol=1e-6)
    unchanged = swap(model, first, first)
    reconstructions = model.decode(model.encode(first))
    for k in range(partitions):
        np.testing.assert_allclose(unchanged[:, k], reconstructions, atol=1e-6)
