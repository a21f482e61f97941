"""A cache with small images and a briefly trained oracle, shared with subprocesses and Ray."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reproduction.cells import DATA_SEED
from tests.reproduction.small import small_preset
from weakdis_core.data.store import prepare
from weakdis_core.metrics import oracle, oracle_cache


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Images and oracle of dsprites_v2, made in seconds."""
    folder = tmp_path_factory.mktemp("cache")
    changes = {"data.data_seed": DATA_SEED}
    data = small_preset("default", "dsprites_v2").with_values(changes).data
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAKDIS_CACHE", str(folder))
        prepared = prepare(data)
        with pytest.MonkeyPatch.context() as hasty:
            quick = functools.partial(oracle.train_oracle, steps=20)
            hasty.setattr(oracle_cache, "train_oracle", quick)
            oracle_cache.prepare_oracle(prepared, data)
        assert os.environ["WEAKDIS_CACHE"] == str(folder)
        yield folder
