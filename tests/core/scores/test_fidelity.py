"""Fidelity of changed pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.core.conftest import small_config
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.plan import Plan
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.source import plan
from weakdis_core.data.variants import get_variant
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.scores.fidelity import (
    align,
    fidelity_scores,
    nearest_indices,
    nuisance_kept,
    psnr,
)
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.slow


def _plan(prepared: Prepared) -> Plan:
    settings = {"variant": prepared.variant.name, "max_images": 1000, "source": "rendered"}
    return plan(DataSettings.model_validate(settings))


def test_nearest_image_may_have_any_grid_index_of_the_value(sprites: Prepared) -> None:
    variant, n = sprites.variant, 40
    indices = sprites.indices[:n]
    column = variant.factor_names.index("posX")
    target = sprites.factors[:n].copy()
    target[:, column] = (target[:, column] + 1) % 3
    factor = variant.factors[column]
    for position in (0, -1):
        moved = indices.copy()
        moved[:, variant.grid.axis("posX")] = [
            factor.bins[value][position] for value in target[:, column]
        ]
        pictures = _plan(sprites).images_at(moved).astype(np.float32)
        affected = np.full(n, column)
        found = nearest_indices(pictures, indices, affected, target, _plan(sprites), 1.0)
        assert (found == moved).all()


def test_psnr_of_a_known_error(rooms: Prepared) -> None:
    # Every pixel differs by a tenth.
    images = rooms.images[:30] / 255
    assert psnr(images + np.where(images > 0.5, -0.1, 0.1), images) == pytest.approx(20)
    assert psnr(images, images).tolist() == [120] * 30


def test_align_moves_the_sprite_to_its_place(sprites: Prepared) -> None:
    images = sprites.images[:20].astype(np.float32)
    away = np.roll(images, (2, -1), axis=(2, 3))
    back, distance = align(away, images)
    assert distance == pytest.approx(5**0.5, abs=1e-4)
    assert psnr(away, images).max() < 20
    assert psnr(back, images).min() > 60
    assert align(images, images)[1] == pytest.approx(0)


def test_nuisance_is_kept_by_originals_only(rooms: Prepared) -> None:
    images = rooms.images[:200] / 255
    indices = rooms.indices[:200]
    assert nuisance_kept(images, indices, rooms.variant) == 1.0
    # Red becomes green, and green blue: the hue turns by a third of the circle.
    assert nuisance_kept(np.roll(images, 1, axis=1), indices, rooms.variant) == 0.0
    floor = rooms.variant.grid.axis("floor_hue")
    same = indices[:, floor] == indices[0, floor]
    one_floor = np.repeat(images[:1], 200, axis=0)
    kept = nuisance_kept(one_floor, indices, rooms.variant)
    assert 0 < kept < same.mean() < 1


@pytest.mark.parametrize("variant", ["dsprites_v4", "shapes3d_v5"])
def test_nuisance_kept_without_hues_is_nan(variant: str) -> None:
    declared = get_variant(variant)
    indices = declared.indices()[:3]
    assert math.isnan(nuisance_kept(np.zeros((3, 3, 64, 64)), indices, declared))


def test_fidelity_scores_are_reproducible(rooms: Prepared, rooms_oracle: Oracle) -> None:
    trainer = Trainer(small_config("shapes3d_v2"), rooms, rooms_oracle)
    scores = fidelity_scores(trainer, rooms, images=50)
    again = fidelity_scores(trainer, rooms, images=50)
    assert scores == pytest.approx(again, abs=0, nan_ok=True)
    assert 0 < scores["manipulation_psnr"] < 20
    assert 0 < scores["swap_psnr"] < 20
    assert 0 <= scores["nuisance_kept"] < 0.9
    assert math.isnan(scores["manipulation_psnr_aligned"])
    assert math.isnan(scores["manipulation_shift"])


def test_sprites_have_aligned_scores(sprites: Prepared, sprites_oracle: Oracle) -> None:
    trainer = Trainer(small_config("dsprites_v2"), sprites, sprites_oracle)
    scores = fidelity_scores(trainer, sprites, images=50)
    assert scores["manipulation_shift"] > 0
    assert 0 < scores["manipulation_psnr_aligned"] < 20
