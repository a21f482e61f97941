"""All scores of a trained model on test."""

import torch

from weakdis_core.config.settings import BY_FACTOR
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.metrics.ceilings import identifiability_ceiling
from weakdis_core.priors.prior import Prior
from weakdis_core.rows import Disentanglement
from weakdis_core.scores.counts import IMAGES
from weakdis_core.scores.disentanglement import disentanglement_scores
from weakdis_core.scores.fidelity import fidelity_scores
from weakdis_core.training.trainer import Trainer


def score_on_test(
    trainer: Trainer, oracle: Oracle, prepared: Prepared, disentanglement: Disentanglement = "none"
) -> dict[str, float]:
    """Score a trained model on test; all kinds of runs use this function.

    Args:
        trainer: The trained model.
        oracle: Classifier that judges decoded pictures.
        prepared: The images that the model was trained on.
        disentanglement: Codes to compute DCI, MIG and SAP on; raw codes take minutes.

    Returns:
        Scores by name, NaN where undefined: accuracies of the model (`Evaluator.evaluate`) and of
        the oracle, the ceiling of the test images, a modular model's `component_spread` and
        fidelity scores, the disentanglement scores, and the counts that `count_of` needs.
    """
    test = trainer.splits.test
    full = test[(prepared.factors[test] != UNKNOWN).all(axis=1)]
    scores = trainer.evaluate("test") | oracle.accuracies()
    ceiling = identifiability_ceiling(prepared.digests[full], prepared.factors[full])
    scores |= {"identifiability_ceiling": ceiling, IMAGES: float(len(test))}
    kind = trainer.config.model.kind
    if kind == "modular":
        spread = component_spread(trainer.prior, len(trainer.variant.factors))
        scores["component_spread"], scores["component_distance"] = spread
    if kind in BY_FACTOR:
        scores |= fidelity_scores(trainer, prepared)
    if disentanglement != "none":
        scores |= disentanglement_scores(trainer, raw=disentanglement == "raw")
    return scores


def component_spread(prior: Prior, coded: int) -> tuple[float, float]:
    """Measure how far the codes of a component scatter, and how far apart components lie.

    Components that have shrunk to the covariance floor reach a high latent accuracy easily.

    Args:
        prior: The fitted priors.
        coded: Number of leading partitions to measure, those with a component for each value.

    Returns:
        The root mean square over latent dimensions of the components' standard deviation, mean over
        components; and the mean distance of a component to the nearest other of its partition,
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
