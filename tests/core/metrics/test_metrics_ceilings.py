"""Ceilings: scores of perfect codes and perfect readers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.metrics.ceilings import (
    dci_ceiling,
    identifiability_ceiling,
    mig_ceiling,
    sap_ceiling,
)

# Each is from a single draw; draws differ by 0.04.
PROTOTYPE_SAP = {
    "dsprites_v2": 0.66,
    "dsprites_v3": 0.64,
    "dsprites_v4": 0.60,
    "shapes3d_v2": 0.47,
    "shapes3d_v3": 0.53,
    "shapes3d_v5": 0.40,
}


def test_perfect_codes_reach_one_in_mig_but_not_in_sap() -> None:
    assert 0.999 < mig_ceiling("dsprites_v2") <= 1
    assert sap_ceiling("dsprites_v2") == pytest.approx(0.66, abs=0.03)


def test_perfect_codes_reach_one_in_dci() -> None:
    assert 0.999 < dci_ceiling("dsprites_v2") <= 1


def test_ceilings_are_reproducible_and_need_a_variant() -> None:
    assert mig_ceiling("dsprites_v2") == mig_ceiling("dsprites_v2")
    with pytest.raises(UserError, match="variant: 'dsprites_v9'"):
        mig_ceiling("dsprites_v9")


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_ceilings_of_every_variant(name: str) -> None:
    assert 0.998 < mig_ceiling(name) <= 1
    assert sap_ceiling(name) == pytest.approx(PROTOTYPE_SAP[name], abs=0.03)


def test_equal_pictures_with_different_labels_lower_the_ceiling() -> None:
    digests = np.array([7, 7, 7, 9, 2**63, 9], dtype=np.uint64)
    factors = np.array([[0, 0], [0, 1], [0, 1], [1, 0], [1, 1], [1, 0]])
    assert identifiability_ceiling(digests, factors) == 5 / 6
    assert identifiability_ceiling(np.arange(6), factors) == 1
    assert math.isnan(identifiability_ceiling(digests[:0], factors[:0]))


def test_prepared_variant_has_a_ceiling_near_one(sprites: Prepared) -> None:
    assert identifiability_ceiling(sprites.digests, sprites.factors) > 0.99
