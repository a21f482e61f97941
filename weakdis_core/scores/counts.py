"""How many images or draws are behind each score on test."""

import math
from collections.abc import Mapping

FIDELITY = (
    "manipulation_psnr",
    "swap_psnr",
    "manipulation_shift",
    "manipulation_psnr_aligned",
    "nuisance_kept",
)
"""The fidelity scores (`weakdis_core.scores.fidelity`)."""

IMAGES, CHANGED = "images", "fidelity_images"
"""Counts among the scores: test images, and those of them that the fidelity scores are over."""

COUNTS = (IMAGES, CHANGED)
"""Scores that are counts of others, and nothing else."""

_OVER_JUDGED = {
    f"relation_accuracy_{kind}{end}" for kind in ("encoded", "pixels") for end in ("", "_affected")
}
# As many codes are drawn as there are images.
_OVER_DRAWS = {"relation_accuracy_latent", "relation_accuracy_latent_affected"}
_OVER_ALL = ("factor_accuracy", "oracle_", "reconstruction_", "identifiability_ceiling")
_FITTED = ("dci_", "sap_", "disentanglement_")
# They need no fit, so they are measured on the train rows themselves.
_UNFITTED = ("mig_", "modularity_")


def count_of(name: str, scores: Mapping[str, float]) -> int | None:
    """Return the number of images or draws behind one of a model's scores, counts among them.

    It is None where it is unknown: single relations share the images in unknown parts.
    """
    if name in FIDELITY:
        # Of a score that is undefined nothing was counted.
        return 0 if math.isnan(scores.get(name, math.nan)) else _count(scores, CHANGED)
    if name in _OVER_JUDGED:
        # The previous work's model is judged on the images whose combinations it has a component
        # for.
        return _count(scores, "images_judged") or _count(scores, IMAGES)
    if name.startswith(_UNFITTED):
        return _count(scores, "disentanglement_train_rows")
    if name.startswith(_FITTED):
        return _count(scores, "disentanglement_test_rows")
    return _count(scores, IMAGES) if name.startswith(_OVER_ALL) or name in _OVER_DRAWS else None


def _count(scores: Mapping[str, float], name: str) -> int | None:
    value = scores.get(name, math.nan)
    return None if math.isnan(value) else round(value)
