"""The search space: ranges, starting point, and first rung of early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, get_args

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweeps.names import Space
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind, Regulariser
from weakdis_core.errors import UserError

LATENT_SIZES = (4, 6, 8, 12, 16)
LABELS = (30, 100, 300, 1000)
# In the sweep at commit 2839440 (docs/measurements.md) the four best trials had lambda from .4 to
# 7.7 and warmups from .02 to .07. Those with .12 or more were stopped early, or had fewer labels.
LAMBDA_RANGES = {"adversarial": (0.05, 1.0), "kl": (0.3, 8.0)}
WARMUP_RANGE = (0.02, 0.25)
LEARNING_RATE_RANGE = (3e-4, 3e-3)
# Of the preset generic, which knows neither the objects nor the nuisance of the pictures.
NETWORKS: dict[str, tuple[str, ...] | tuple[int, ...]] = {
    "model.decoder": ("palette_patch", "scaled_patch", "palette"),
    "model.nuisance_partitions": (0, 1, 2),
}

BASELINE_RANGES: dict[ModelKind, Space] = {
    # Published grids: beta 1 to 16 (beta-TCVAE: 10), FactorVAE's gamma 10 to 100, DIP-VAE 1 to 50.
    "few_labels": {
        "few_labels.regulariser": CategoricalDistribution(get_args(Regulariser)),
        "few_labels.strength": FloatDistribution(1.0, 100.0, log=True),
        "few_labels.supervised_weight": FloatDistribution(1.0, 16.0, log=True),
    },
    # Around the published values; short trainings need higher rates.
    "zerodim": {
        "zerodim.embedding_size": CategoricalDistribution((1, 2, 4, 8)),
        "zerodim.label_weight": FloatDistribution(1e-4, 1e-1, log=True),
        "zerodim.entropy_weight": FloatDistribution(1e-4, 1e-2, log=True),
        "zerodim.code_learning_rate": FloatDistribution(1e-2, 3e-1, log=True),
        "zerodim.classifier_learning_rate": FloatDistribution(1e-4, 3e-3, log=True),
    },
}
"""Search spaces of models without an adaptive prior."""


def build_space(
    config: Config, fixed: Mapping[str, Any], search_learning_rate: bool = False
) -> Space:
    """Return the settings to search, by dotted name, with their ranges.

    Args:
        config: The settings that every trial shares. Its kind of model decides what is searched,
            its prior matching the range of lambda, its ending the range of warmup, and its number
            of images the labels.
        fixed: Settings that the user fixed, which are not searched.
        search_learning_rate: Whether to search the autoencoder's learning rate too.

    Raises:
        UserError: Everything is fixed, or the ending leaves no room for warmup.
    """
    own = BASELINE_RANGES.get(config.model.kind)
    space = _build_prior_space(config, fixed) if own is None else dict(own)
    # Labels come from the train split, 80% of the images; a few less, as it keeps copies together.
    labels = [number for number in LABELS if number <= 0.75 * config.data.max_images]
    # Own pictures have few labels, and 0 is all of them.
    if config.data.labels:
        space["data.labels"] = CategoricalDistribution(labels)
    if config.model.encoder == "residual":
        space |= {name: CategoricalDistribution(each) for name, each in NETWORKS.items()}
    if search_learning_rate:
        space["training.learning_rate"] = FloatDistribution(*LEARNING_RATE_RANGE, log=True)
    space = {name: values for name, values in space.items() if name not in fixed}
    if not space:
        raise UserError("set: every searched setting is fixed, so there is nothing to search")
    return space


def _build_prior_space(config: Config, fixed: Mapping[str, Any]) -> Space:
    """Return the ranges of models with an adaptive prior."""
    lowest, highest = WARMUP_RANGE
    # Steps must remain between warmup and ending.
    highest = min(highest, 0.9 * (1 - config.training.ending))
    if highest <= lowest and "training.warmup" not in fixed:
        raise UserError(
            f"training.ending: {config.training.ending} is not allowed: it leaves no room for a "
            f"warmup of at least {lowest}"
        )
    low, high = LAMBDA_RANGES[config.loss.prior_matching]
    space: Space = {}
    # The code of the monolithic model is as large as all partitions together.
    if config.model.kind == "modular":
        space["model.latent_size"] = CategoricalDistribution(LATENT_SIZES)
    return space | {
        "loss.lambda": FloatDistribution(low, high, log=True),
        "training.warmup": FloatDistribution(lowest, max(lowest, highest)),
    }


def starting_point(space: Space, config: Config) -> dict[str, Any] | None:
    """Return the preset's values, to try first; None if one is outside its range."""
    settings = config.flat()
    point = {name: settings[name] for name in space}
    return None if why_outside(space, point) else point


def why_outside(space: Space, point: Mapping[str, Any]) -> str:
    """Return why a point is outside the space; empty if it is inside.

    Settings that the space does not contain are ignored.
    """
    for name, value in point.items():
        values = space.get(name)
        if isinstance(values, CategoricalDistribution):
            inside, allowed = value in values.choices, f"one of {values.choices}"
        elif isinstance(values, FloatDistribution | IntDistribution):
            inside = isinstance(value, int | float) and values.low <= value <= values.high
            allowed = f"a number from {values.low:g} to {values.high:g}"
        else:
            continue
        if not inside:
            return f"{name}: {value!r} is outside the search space; it must be {allowed}"
    return ""


def longest_warmup(space: Space, config: Config) -> int:
    """Return the steps of the longest warmup in the space."""
    warmup = space.get("training.warmup")
    fraction = warmup.high if isinstance(warmup, FloatDistribution) else config.training.warmup
    return ceil(fraction * config.training.steps)


def first_rung(space: Space, config: Config) -> int:
    """Return the step of the first evaluation at twice the longest warmup of the space or later.

    The objective exists only after warmup. By this step even a trial with the longest warmup has
    trained as many steps after it.
    """
    training = config.training
    longest = longest_warmup(space, config)
    every = range(1, training.evaluations + 1)
    evaluated = (ceil(training.steps * number / training.evaluations) for number in every)
    late = (step for step in evaluated if step > longest and step >= 2 * longest)
    return next(late, training.steps)
