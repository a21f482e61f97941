"""One cell's work: train it, evaluate it once on test, and give its rows."""

from __future__ import annotations

import datetime
import math
import platform
import time
from importlib.metadata import version

import torch

from reproduction.cells import Cell, Disentanglement
from reproduction.rows import Key, Run, Score, Scores
from sweeps.trainable import device_name
from weakdis_core.commands import prepare_all
from weakdis_core.data.store import Prepared
from weakdis_core.devices import processor
from weakdis_core.disentanglement import disentanglement_scores
from weakdis_core.fidelity import fidelity_scores
from weakdis_core.metrics import identifiability_ceiling
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.priors import Prior
from weakdis_core.trainer import Trainer

FIDELITY_IMAGES = 1000
"""Test images that are changed and held beside the true ones."""

_OVER_JUDGED = {
    f"relation_accuracy_{kind}{end}" for kind in ("encoded", "pixels") for end in ("", "_affected")
}
# As many codes are drawn as there are images.
_OVER_DRAWS = {"relation_accuracy_latent", "relation_accuracy_latent_affected"}
_OVER_ALL = ("factor_accuracy", "oracle_", "reconstruction_")


def train_cell(cell: Cell, git_commit: str) -> tuple[Run, Scores]:
    """Train a cell and score it.

    The images and the oracle are opened where this machine has them, and made where it has not.

    Args:
        cell: What to train.
        git_commit: Of the code, for the row.

    Returns:
        The rows of the run and of its scores.

    Raises:
        TrainingDiverged: A loss became NaN or infinite.
        UserError: The data or a setting is at fault.
    """
    config, prepared, oracle = prepare_all(cell.config)
    trainer = Trainer(config, prepared, oracle)
    started = time.process_time()
    for _ in trainer.fit():
        pass
    cpu_seconds = time.process_time() - started
    started = time.perf_counter()
    scores = _scores(trainer, prepared, oracle, cell.disentanglement)
    scoring_seconds = time.perf_counter() - started
    key = Key.of(config)
    run = Run(
        run=key.run,
        name=cell.name,
        variant=config.data.variant,
        model=config.model.kind,
        labels=config.data.labels,
        source=key.source,
        seed=key.seed,
        config=key.config,
        code_version=key.versions.code,
        scikit_learn=key.versions.scikit_learn,
        steps=config.training.steps,
        cpu_seconds=cpu_seconds,
        scoring_seconds=scoring_seconds,
        device=device_name(trainer.device),
        machine=processor(),
        git_commit=git_commit,
        torch=version("torch"),
        numpy=version("numpy"),
        python=platform.python_version(),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    return run, scores


def component_spread(prior: Prior, coded: int) -> tuple[float, float]:
    """How far a component's codes scatter, and how far apart components lie.

    Components that have shrunk to the covariance floor make latent accuracy easy: it is to be read
    beside these.

    Args:
        prior: The fitted priors.
        coded: Number of partitions with components for something; the others are left out.

    Returns:
        Mean over components of their standard deviation, the root mean square over latent
        dimensions; and mean distance of a component's mean to the nearest other of its partition,
        divided by the root of the latent size so that both are of one unit.
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


def _scores(
    trainer: Trainer, prepared: Prepared, oracle: Oracle, disentanglement: Disentanglement
) -> Scores:
    images = len(trainer.splits.test)
    values = trainer.evaluate("test") | oracle.accuracies()
    # The previous work's model judges the images whose combinations it owns.
    judged = round(values.get("images_judged", images))
    scores = {name: Score(value, _count(name, images, judged)) for name, value in values.items()}
    shown = prepared.digests[trainer.splits.test], prepared.factors[trainer.splits.test]
    scores["identifiability_ceiling"] = Score(identifiability_ceiling(*shown), images)
    if trainer.config.model.kind == "modular":
        spread = component_spread(trainer.prior, len(trainer.variant.factors))
        names = ("component_spread", "component_distance")
        scores |= {name: Score(value) for name, value in zip(names, spread, strict=True)}
        fidelity = fidelity_scores(trainer, prepared, FIDELITY_IMAGES)
        judged = min(FIDELITY_IMAGES, images)
        scores |= {
            name: Score(value, 0 if math.isnan(value) else judged)
            for name, value in fidelity.items()
        }
    if disentanglement != "none":
        scores |= _disentanglement(trainer, raw=disentanglement == "raw")
    return scores


def _count(name: str, images: int, judged: int) -> int | None:
    """Images behind a score; single relations share them in unknown parts."""
    if name in _OVER_JUDGED:
        return judged
    return images if name.startswith(_OVER_ALL) or name in _OVER_DRAWS else None


def _disentanglement(trainer: Trainer, raw: bool) -> Scores:
    values = disentanglement_scores(trainer, raw)
    rows = {part: round(values[f"disentanglement_{part}_rows"]) for part in ("train", "test")}
    # What needs no fit is measured on the train rows themselves.
    train_only = ("mig_", "modularity_")
    return {
        name: Score(value, rows["train" if name.startswith(train_only) else "test"])
        for name, value in values.items()
    }
