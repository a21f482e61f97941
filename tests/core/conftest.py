"""Small prepared variants and briefly trained oracles for the tests of the core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.config.config import Config
from weakdis_core.config.description import Description, FactorDescription
from weakdis_core.config.settings import DataSettings, ModelKind
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.splits import split, splits_of
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.data.variants import build_variant
from weakdis_core.evaluation.oracle import Oracle, train_oracle
from weakdis_core.evaluation.oracle_cache import prepare_oracle
from weakdis_core.presets import preset
from weakdis_core.seeding import numpy_generator

BRIEF = 20
"""Steps of the oracles of most tests."""

SMALL = {
    "data.max_images": 1000,
    "data.labels": 60,
    "data.source": "rendered",
    "model.channels": 8,
    "model.hidden": 32,
    "model.discriminator_width": 32,
    "model.relational_width": 32,
    "training.steps": 24,
    "training.evaluations": 4,
    "training.evaluation_samples": 50,
    "training.batch_size": 8,
    "training.labelled_batch_size": 8,
    "training.relation_batch_size": 16,
    "runtime.log_every": 5,
}


def small_config(variant: str, model: ModelKind = "modular") -> Config:
    """Return a small version of the default preset."""
    return preset("default", variant, model).with_values(SMALL)


def prepared_variant(variant: str, cache: Path) -> Prepared:
    settings = DataSettings.model_validate(
        {"variant": variant, "max_images": 1000, "source": "rendered"}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAKDIS_CACHE", str(cache))
        return prepare(settings)


def harmed(prepared: Prepared, rows: NDArray[np.integer[Any]]) -> Prepared:
    """Return a copy in which the images of `rows` are noise and their values wrong."""
    images, factors = prepared.images.copy(), prepared.factors.copy()
    noise = numpy_generator(0, "harmed").random(images[rows].shape)
    images[rows] = (noise > 0.5) * prepared.scale
    factors[rows] = (factors[rows] + 1) % prepared.variant.n_values
    return replace(prepared, images=images, factors=factors)


@pytest.fixture(scope="session")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_variant("dsprites_v2", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def rooms(small_cache: Path) -> Prepared:
    return prepared_variant("shapes3d_v2", small_cache)


@pytest.fixture(scope="session")
def sprites_oracle(small_cache: Path) -> Oracle:
    data = small_config("dsprites_v2").data
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAKDIS_CACHE", str(small_cache))
        return prepare_oracle(prepare(data), data)


@pytest.fixture(scope="session")
def rooms_oracle(rooms: Prepared) -> Oracle:
    return train_oracle(rooms, split(rooms.digests, 0), steps=5)


BARS = Description(
    name="bars",
    size=32,
    factors={
        "colour": FactorDescription(values={name: (name,) for name in ("red", "green", "blue")}),
        "place": FactorDescription(values={str(n): (str(n),) for n in range(4)}, kind="ordinal"),
    },
    pictures=400,
    digest="0123",
)
"""Own pictures of 32 pixels. No picture shows a blue bar at the last place."""


def bars_config(**changes: object) -> Config:
    """Return a small configuration of `bars`, with every label."""
    values = {name: value for name, value in SMALL.items() if name != "data.source"}
    description = BARS.model_dump(mode="json")
    values |= {"data.variant": "bars", "data.source": "own", "data.description": description}
    values |= {"data.labels": 0, "loss.prior_matching": "kl", "loss.label_weight": 1.0}
    values |= {"loss.sleep_weight": 0.1, "loss.prior_refit_every": 3}
    return Config().with_values(values | changes)


@pytest.fixture(scope="session")
def bars() -> Prepared:
    """Own pictures, of which half have no label and some lack that of one factor."""
    generator, n = numpy_generator(0, "bars"), BARS.pictures
    factors = np.stack([generator.integers(3, size=n), generator.integers(4, size=n)], axis=1)
    factors[(factors == (2, 3)).all(1), 1] = 0
    images = generator.integers(30, size=(n, 3, 32, 32), dtype=np.uint8)
    for image, (colour, place) in zip(images, factors.tolist(), strict=True):
        image[colour, 8:24, 8 * place : 8 * place + 8] = 220
    factors[::2] = UNKNOWN
    factors[1::20, 0] = UNKNOWN
    factors[3::20, 1] = UNKNOWN
    indices = np.column_stack([np.arange(n), factors])
    digests = np.arange(n, dtype=np.uint64)
    variant = build_variant(BARS)
    return Prepared(variant, "own", Path(), images, factors, indices, digests, 255.0, "0123")


@pytest.fixture(scope="session")
def bars_oracle(bars: Prepared) -> Oracle:
    return train_oracle(bars, splits_of(bars, 0), steps=5)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WEAKDIS_CACHE", str(folder))
    return folder
