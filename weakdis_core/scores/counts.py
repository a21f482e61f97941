"""Numbers of images or draws behind the scores on test."""

import math
import re
from collections.abc import Mapping

from weakdis_core.metrics.accuracy import ABSENT, LABELLED

FIDELITY = (
    "manipulation_psnr",
    "swap_psnr",
    "manipulation_shift",
    "manipulation_psnr_aligned",
    "nuisance_kept",
)
"""The fidelity scores (`weakdis_core.scores.fidelity`)."""

IMAGES, CHANGED = "images", "fidelity_images"
"""Names of two counts: all test images, and those behind the fidelity scores."""

COUNTS = (IMAGES, CHANGED, LABELLED, ABSENT)
"""Scores that only count images."""

_OVER_JUDGED = {
    f"relation_accuracy_{kind}{end}" for kind in ("encoded", "pixels") for end in ("", "_affected")
}
# The evaluation draws as many codes as there are images.
_OVER_DRAWS = {"relation_accuracy_latent", "relation_accuracy_latent_affected"}
_OVER_LABELLED = _OVER_JUDGED | {
    "factor_accuracy", "identifiability_ceiling", "oracle_accuracy", "oracle_accuracy_softened"
}  # fmt: skip
_OVER_ABSENT = {f"relation_accuracy_{kind}_absent" for kind in ("encoded", "pixels")}
_FACTOR = re.compile(r"(?:factor|balanced|majority)_accuracy_(\w+)")
_OVER_ALL = ("factor_accuracy", "reconstruction_")
_ON_TEST = ("dci_", "sap_", "disentanglement_")
_ON_TRAIN = ("mig_", "modularity_", "infom_", "infoe_", "infoc_")


def count_of(name: str, scores: Mapping[str, float]) -> int | None:
    """Return the number of images or draws behind one of a model's scores.

    It is None for accuracies of single relations, whose shares of the images are unknown.
    """
    if name in FIDELITY:
        return 0 if math.isnan(scores.get(name, math.nan)) else _count(scores, CHANGED)
    if name in _OVER_ABSENT:
        return _count(scores, ABSENT)
    places = [LABELLED, IMAGES] if name in _OVER_LABELLED else []
    if name in _OVER_JUDGED:
        # A monolithic model is judged on the images that have a component.
        places = ["images_judged", *places]
    if factor := _FACTOR.fullmatch(name):
        places = [f"{LABELLED}_{factor[1]}"]
    for place in places:
        if (count := _count(scores, place)) is not None:
            return count
    if name.startswith(_ON_TRAIN):
        return _count(scores, "disentanglement_train_rows")
    if name.startswith(_ON_TEST):
        return _count(scores, "disentanglement_test_rows")
    return _count(scores, IMAGES) if name.startswith(_OVER_ALL) or name in _OVER_DRAWS else None


def _count(scores: Mapping[str, float], name: str) -> int | None:
    value = scores.get(name, math.nan)
    return None if math.isnan(value) else round(value)
