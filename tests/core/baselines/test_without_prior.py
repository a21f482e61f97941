"""What baselines without a prior share: they continue, change factors, and are drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.baselines.conftest import small_baseline
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.pictures.write import write_pictures
from weakdis_core.training.trainer import Report, Trainer

pytestmark = pytest.mark.slow

# Three evaluations: of zerodim, one in each stage.
STAGES = {"training.warmup": 0.4, "training.ending": 0.3, "training.evaluations": 3}
CASES: list[tuple[ModelKind, dict[str, Any]]] = [
    ("few_labels", {}),
    ("few_labels", {"few_labels.regulariser": "factor_vae"}),
    ("zerodim", STAGES),
    ("zerodim", {**STAGES, "zerodim.shared_classifier": False}),
]


@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_it_continues_and_changes_factors(
    kind: ModelKind,
    changes: dict[str, Any],
    sprites: Prepared,
    sprites_oracle: Oracle,
    tmp_path: Path,
) -> None:
    config = small_baseline(kind, **changes)
    whole = Trainer(config, sprites, sprites_oracle)
    terms = list(whole.fit())[-1].metrics
    for reports in range(1, config.training.evaluations):
        last = continued(config, reports, sprites, sprites_oracle, tmp_path / f"{reports}.pt")
        assert last.metrics == pytest.approx(terms, nan_ok=True)
    # No mixture, so no latent accuracy; the others exist.
    assert math.isnan(terms["val/relation_accuracy_latent"])
    for each in ("encoded", "pixels"):
        assert 0 <= terms[f"val/relation_accuracy_{each}"] <= 1
    model = whole.model
    images = whole.bank.batch(whole.images_of("test", 4))
    codes = model.encode(images)
    shifted = model.change_codes(codes, None, "change_shape")
    before, after = (model.read_codes(each)["shape"].values for each in (codes, shifted))
    np.testing.assert_array_equal(after, (before + 1) % 3)
    assert model.set(images, shape="heart").shape == (4, 1, 64, 64)
    files = {file.name for file in write_pictures(whole, sprites_oracle, tmp_path / "pictures")}
    assert {"traversals.png", "swaps.png", "manipulation.png"} <= files
    assert "partitions.png" not in files


def continued(
    config: Config, reports: int, prepared: Prepared, oracle: Oracle, file: Path
) -> Report:
    """Save a run after some reports, load it in another trainer; the last report of that."""
    begun, rest = (Trainer(config, prepared, oracle) for _ in range(2))
    fit = begun.fit()
    for _ in range(reports):
        next(fit)
    begun.save(file)
    rest.load(file)
    return list(rest.fit())[-1]
