"""Additions of this implementation to the paper's equations, and how to remove each one."""

from dataclasses import dataclass, field
from typing import Any

from weakdis_core.config.config import Config
from weakdis_core.errors import UserError


@dataclass(frozen=True)
class Addition:
    """One addition to the paper, which can be removed by itself.

    Attributes:
        switch: Dotted name of the setting that enables it, with a value other than the default.
        details: Settings that have an effect only with the addition.
        dependents: Additions that need this one and are removed with it.
        instead: Settings to use without it, with values for short CPU runs.
    """

    switch: str
    details: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    instead: dict[str, Any] = field(default_factory=dict)


ADDITIONS: dict[str, Addition] = {
    "labelled cross-entropy": Addition("loss.label_weight", dependents=("label temperature",)),
    "label temperature": Addition("loss.label_temperature"),
    "moving prior": Addition("loss.prior_refit_every"),
    "standardised prior": Addition("loss.standardise_prior"),
    "shared covariance": Addition("loss.shared_covariance"),
    # The adversary instead needs another lambda, a learning discriminator, and no rescaled prior.
    "closed-form KL": Addition(
        "loss.prior_matching",
        dependents=("standardised prior",),
        instead={"loss.lambda": 0.5, "training.discriminator_learning_rate": 1e-3},
    ),
    "lambda ramp": Addition("loss.lambda_ramp"),
    "nuisance weight": Addition("loss.nuisance_weight"),
    "ordered means": Addition("loss.ordered_means"),
    "consistency": Addition("loss.consistency_weight"),
    "sleep phase": Addition("loss.sleep_weight"),
    "image noise": Addition("loss.image_noise"),
    "resampling": Addition("loss.resample_probability", details=("loss.resample_confidence",)),
    "object-centred / residual encoder": Addition("model.encoder"),
    "placed patch / palette decoder": Addition("model.decoder"),
    "pixel shuffle": Addition("model.upsampling"),
    "nuisance partition": Addition("model.nuisance_partitions"),
    "residual relations": Addition("model.residual_relations"),
    "He initialisation": Addition("model.he_initialisation"),
    "learning rate ramp": Addition("training.ramp_steps"),
    "learning rate decay": Addition("training.decay"),
    "transformations": Addition("training.transform"),
    "clipping": Addition("training.clip"),
    "ending phase": Addition("training.ending", dependents=("ending on means",)),
    "ending on means": Addition("training.ending_means"),
}
"""Every addition by name. A test checks that no setting described as an addition is missing."""


def additions_of(config: Config) -> tuple[str, ...]:
    """Return the names of the additions that a configuration uses, in the order of `ADDITIONS`."""
    settings, paper = config.flat(), Config().flat()
    return tuple(
        name
        for name, addition in ADDITIONS.items()
        if settings[addition.switch] != paper[addition.switch]
    )


def without_addition(config: Config, name: str) -> Config:
    """Return the configuration without one addition and its dependents.

    Raises:
        UserError: No addition has that name, or the configuration does not use it.
    """
    if name not in ADDITIONS:
        raise UserError(f"addition: {name!r} is not one of {', '.join(ADDITIONS)}")
    used = additions_of(config)
    if name not in used:
        raise UserError(f"addition: {name!r} is not used; in use: {', '.join(used)}")
    addition, paper = ADDITIONS[name], Config().flat()
    switches = [ADDITIONS[each].switch for each in (name, *addition.dependents)]
    values = {setting: paper[setting] for setting in (*switches, *addition.details)}
    return config.with_values(values | addition.instead)
