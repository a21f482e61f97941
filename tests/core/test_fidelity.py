"""Changed pictures beside the true ones, and the nuisance that must stay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.core.conftest import small_config
from weakdis_core.config import DataSettings
from weakdis_core.data.plan import Plan, plan
from weakdis_core.data.store import Prepared, images_at
from weakdis_core.data.variants import get_variant
from weakdis_core.fidelity import fidelity_scores, nearest_psnr, nuisance_kept
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.trainer import Trainer


def _plan(prepared: Prepared) -> Plan:
    settings = {"variant": prepared.variant.name, "max_images": 1000, "source": "rendered"}
    return plan(DataSettings.model_validate(settings))


def test_the_image_of_any_grid_index_of_the_new_value_is_exact(sprites: Prepared) -> None:
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
        pictures = images_at(_plan(sprites), moved).astype(np.float32)
        affected = np.full(n, column)
        psnr = nearest_psnr(pictures, indices, affected, target, _plan(sprites), 1.0)
        assert psnr.tolist() == [pytest.approx(120)] * n


def test_psnr_of_a_known_error(rooms: Prepared) -> None:
    target = rooms.factors[:30]
    # Nothing changes: the target is the image itself, darkened or brightened by a tenth.
    images = rooms.images[:30] / 255
    pictures = images + np.where(images > 0.5, -0.1, 0.1)
    affected = np.zeros(30, dtype=np.int64)
    psnr = nearest_psnr(pictures, rooms.indices[:30], affected, target, _plan(rooms), 255.0)
    assert psnr == pytest.approx(20)


def test_originals_keep_their_nuisance_and_other_hues_do_not(rooms: Prepared) -> None:
    images = rooms.images[:200] / 255
    indices = rooms.indices[:200]
    assert nuisance_kept(images, indices, rooms.variant) == 1.0
    # Red becomes green, green blue: a third of the circle, more than half a hue.
    assert nuisance_kept(np.roll(images, 1, axis=1), indices, rooms.variant) == 0.0
    floor = rooms.variant.grid.axis("floor_hue")
    same = indices[:, floor] == indices[0, floor]
    one_floor = np.repeat(images[:1], 200, axis=0)
    kept = nuisance_kept(one_floor, indices, rooms.variant)
    assert 0 < kept < same.mean() < 1


@pytest.mark.parametrize("variant", ["dsprites_v4", "shapes3d_v5"])
def test_without_hues_as_nuisance_it_is_undefined(variant: str) -> None:
    declared = get_variant(variant)
    indices = declared.indices()[:3]
    assert math.isnan(nuisance_kept(np.zeros((3, 3, 64, 64)), indices, declared))


def test_scores_of_a_model_are_the_same_every_time(rooms: Prepared, rooms_oracle: Oracle) -> None:
    trainer = Trainer(small_config("shapes3d_v2"), rooms, rooms_oracle)
    scores = fidelity_scores(trainer, rooms, images=50)
    assert scores == fidelity_scores(trainer, rooms, images=50)
    assert 0 < scores["manipulation_psnr"] < 20
    assert 0 <= scores["nuisance_kept"] < 0.9
