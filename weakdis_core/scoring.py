"""The only scoring on test: every number that is measured of a trained model, and its count."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from weakdis_core.data.store import Prepared
from weakdis_core.disentanglement import disentanglement_scores
from weakdis_core.fidelity import FIDELITY, fidelity_scores
from weakdis_core.metrics import identifiability_ceiling
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.priors import Prior
from weakdis_core.rows import Disentanglement
from weakdis_core.trainer import Trainer

FIDELITY_IMAGES = 1000
"""Test images, at most, that are changed by a relation and compared with the true ones."""

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


def score_on_test(
    trainer: Trainer, oracle: Oracle, prepared: Prepared, disentanglement: Disentanglement = "none"
) -> dict[str, float]:
    """Score a trained model on test.

    Trials, confirm runs, the runs of a study and `python -m weakdis_core train` all use it, so that
    a score has one meaning.

    Args:
        trainer: The trained model.
        oracle: Judge of decoded pictures.
        prepared: The images it was trained on.
        disentanglement: Codes that DCI, MIG and SAP are computed on; raw codes take minutes.

    Returns:
        Scores by name, NaN where undefined: accuracies and their oracle's (`Evaluator.evaluate`),
        the ceiling that the test images allow, of a modular model the spread of its components and
        the fidelity of its pictures, the disentanglement scores asked for, and the counts that
        `count_of` reads.
    """
    test = trainer.splits.test
    scores = trainer.evaluate("test") | oracle.accuracies()
    ceiling = identifiability_ceiling(prepared.digests[test], prepared.factors[test])
    scores |= {"identifiability_ceiling": ceiling, IMAGES: float(len(test))}
    if trainer.config.model.kind == "modular":
        names = ("component_spread", "component_distance")
        spread = component_spread(trainer.prior, len(trainer.variant.factors))
        scores |= dict(zip(names, spread, strict=True))
        scores |= fidelity_scores(trainer, prepared, FIDELITY_IMAGES)
        scores[CHANGED] = float(min(FIDELITY_IMAGES, len(test)))
    if disentanglement != "none":
        threads = trainer.config.runtime.threads
        scores |= disentanglement_scores(trainer, disentanglement == "raw", n_jobs=threads)
    return scores


def count_of(name: str, scores: Mapping[str, float]) -> int | None:
    """Return the number of images or draws behind a score.

    Args:
        name: The score.
        scores: All scores of the same model, counts among them.

    Returns:
        None where the number is unknown: single relations share the images in unknown parts.
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


def component_spread(prior: Prior, coded: int) -> tuple[float, float]:
    """Measure how far codes of a component scatter, and how far apart components lie.

    Components that have shrunk to the covariance floor make a high latent accuracy easy, so read it
    beside these two.

    Args:
        prior: The fitted priors.
        coded: Number of partitions whose components stand for factor values; the others are left
            out.

    Returns:
        Mean over components of their standard deviation, the root mean square over latent
        dimensions; and mean distance of a component's mean to the nearest other of its partition,
        divided by the root of the latent size so that both have one unit.
    """
    real = prior.log_weights[:coded] > -torch.inf
    variances = prior.covariances[:coded].diagonal(dim1=-2, dim2=-1).mean(-1)
    spread = variances.sqrt().expand_as(real)[real].mean()
    means = prior.means[:coded]
    distances = torch.cdist(means, means)
    own = torch.eye(real.shape[1], dtype=torch.bool, device=real.device)
    distances = distances.masked_fill(own | ~real.unsqueeze(1), torch.inf)
    nearest = distances.amin(-1)[real]
    return float(spread), float(nearest.mean() / means.shape[-1] ** 0.5)


def _count(scores: Mapping[str, float], name: str) -> int | None:
    value = scores.get(name, math.nan)
    return None if math.isnan(value) else round(value)
