"""How a cell is carried out: it may differ from machine to machine, and its row may not."""

from __future__ import annotations

import pytest

from reproduction import cells
from reproduction.engine import Demand, at_once, placed
from reproduction.rows import Key
from sweeps.cluster import Allotment
from weakdis_core.errors import UserError

CELL = cells.ours("shapes3d_v3", "rendered")[0]


@pytest.mark.parametrize(("gpus", "device"), [(0.25, "auto"), (0.0, "cpu")])
def test_a_row_is_of_float32_on_any_device(gpus: float, device: str) -> None:
    there = placed(CELL, Demand(), Allotment(cpus=1.0, gpus=gpus, concurrent=4))
    assert (there.config.runtime.precision, there.config.runtime.device) == ("float32", device)
    assert Key.of(there.config) == Key.of(CELL.config)


def test_as_many_models_share_a_clusters_gpu_as_have_their_share() -> None:
    assert at_once(Demand(address="auto", gpus_per_trial=0.125)) == 8
    assert at_once(Demand(address="auto", gpus_per_trial=0.125, max_concurrent=3)) == 3


def test_a_share_of_a_gpu_that_is_not_here_is_refused_before_the_plan() -> None:
    with pytest.raises(UserError, match=r"gpus_per_trial: 0\.125 is not allowed: there are 0 GPUs"):
        at_once(Demand(gpus_per_trial=0.125))
