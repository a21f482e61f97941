"""The oracle's cache: one file for each way of training it."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakdis_core.config import DataSettings
from weakdis_core.data.store import Prepared
from weakdis_core.metrics import oracle
from weakdis_core.metrics.oracle import prepare_oracle


def test_an_oracle_is_trained_once_for_each_recipe(
    sprites: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def prepare(steps: int) -> float:
        monkeypatch.setitem(oracle._STEPS, "dsprites", steps)
        data = DataSettings(variant="dsprites_v2", max_images=1000, source="rendered")
        return prepare_oracle(
            sprites, data, progress=lambda done, _: trained.append(done)
        ).clean_accuracy

    first = prepare(40)
    assert trained == [20, 40]
    assert prepare(40) == first
    assert trained == [20, 40], "the cached one was not taken"
    prepare(20)
    assert trained == [20, 40, 20], "an oracle of another recipe was taken"
    folder: Path = sprites.path.parent.parent / "oracles"
    assert len(list(folder.glob("*.pt"))) == 2
