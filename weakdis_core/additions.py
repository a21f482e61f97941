"""What this implementation adds to the paper's equations, and how to take each addition out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from weakdis_core.config import Config
from weakdis_core.errors import UserError


@dataclass(frozen=True)
class Addition:
    """One addition to the paper: settings that make sense together only.

    Attributes:
        switches: Settings that turn it on, by dotted name. It is used where one of them differs
            from the paper's value, which is the default of `Config`.
        details: Settings that say how, and mean nothing while it is off.
        instead: Settings that are needed where it is off, with values for a CPU's few steps; the
            paper's own would decide the comparison.
    """

    switches: tuple[str, ...]
    details: tuple[str, ...] = ()
    instead: dict[str, Any] = field(default_factory=dict)


ADDITIONS: dict[str, Addition] = {
    "labelled cross-entropy": Addition(("loss.label_weight",), ("loss.label_temperature",)),
    "moving prior": Addition(("loss.prior_refit_every", "loss.prior_momentum")),
    "cycle": Addition(("loss.cycle_weight",), ("loss.cycle_start", "loss.cycle_swaps")),
    "image noise": Addition(("loss.image_noise",)),
    "resampling": Addition(("loss.resample_probability",), ("loss.resample_confidence",)),
    "object-centred encoder": Addition(("model.encoder",)),
    "placed patch / palette decoder": Addition(("model.decoder", "loss.placement_weight")),
    "pixel shuffle": Addition(("model.upsampling",)),
    "nuisance partition": Addition(("model.nuisance_partitions",)),
    # Lambda weighs another term without it, and the discriminator has to learn.
    "closed-form KL": Addition(
        ("loss.prior_matching", "loss.standardise_prior", "loss.prior_ramp"),
        instead={"loss.lambda": 0.5, "training.discriminator_learning_rate": 1e-3},
    ),
    "shared covariance": Addition(("loss.shared_covariance",)),
    "residual relations": Addition(("model.residual_relations",)),
    "He initialisation": Addition(("model.he_initialisation",)),
    "learning rate schedule": Addition(
        ("training.ramp_steps", "training.decay", "training.clip"),
    ),
    "ending phase": Addition(("training.ending", "training.ending_means")),
}
"""Every addition by name. A test holds that each setting called an addition is in one of them."""


def additions_of(config: Config) -> tuple[str, ...]:
    """Names of the additions that a configuration uses, in the order of `ADDITIONS`."""
    settings, paper = config.flat(), Config().flat()
    return tuple(
        name
        for name, addition in ADDITIONS.items()
        if any(settings[switch] != paper[switch] for switch in addition.switches)
    )


def taken_out(config: Config, name: str) -> Config:
    """The configuration without one addition: its settings as in the paper, the others as they are.

    Raises:
        UserError: There is no addition of that name, or the configuration does not use it.
    """
    if name not in ADDITIONS:
        raise UserError(f"addition: {name!r} is not one of {', '.join(ADDITIONS)}")
    if name not in additions_of(config):
        raise UserError(
            f"addition: {name!r} is not used; in use: {', '.join(additions_of(config))}"
        )
    addition, paper = ADDITIONS[name], Config().flat()
    values = {setting: paper[setting] for setting in (*addition.switches, *addition.details)}
    return config.with_values(values | addition.instead)
