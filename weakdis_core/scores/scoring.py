"""The only scoring on test: every number that is measured of a trained model."""

import torch

from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.metrics.ceilings import identifiability_ceiling
from weakdis_core.priors.prior import Prior
from weakdis_core.rows import Disentanglement
from weakdis_core.scores.counts import CHANGED, IMAGES
from weakdis_core.scores.disentanglement import disentanglement_scores
from weakdis_core.scores.fidelity import fidelity_scores
from weakdis_core.training.trainer import Trainer

FIDELITY_IMAGES = 1000
"""Test images, at most, that are changed by a relation and compared with the true ones."""


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
        `weakdis_core.scores.counts.count_of` reads.
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
