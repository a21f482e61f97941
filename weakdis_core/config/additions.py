"""What this implementation adds to the paper's equations, and how to take each addition out."""

from dataclasses import dataclass, field
from typing import Any

from weakdis_core.config.config import Config
from weakdis_core.errors import UserError


@dataclass(frozen=True)
class Addition:
    """One addition to the paper: what can be turned off by itself.

    Attributes:
        switch: The setting that turns it on, by dotted name. It is used where that differs from
            the paper's value, which is the default of `Config`.
        details: Settings that say how, and mean nothing while it is off.
        dependents: Additions to it, which go with it.
        instead: Settings that are needed where it is off, with values for a CPU's few steps; the
            paper's own would decide the comparison.
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
    # Without it lambda weighs another term, the discriminator has to learn, and the prior must not
    # be rescaled: that hurts with the adversary.
    "closed-form KL": Addition(
        "loss.prior_matching",
        dependents=("standardised prior",),
        instead={"loss.lambda": 0.5, "training.discriminator_learning_rate": 1e-3},
    ),
    "cycle": Addition("loss.cycle_weight", details=("loss.cycle_start", "loss.cycle_swaps")),
    "image noise": Addition("loss.image_noise"),
    "resampling": Addition("loss.resample_probability", details=("loss.resample_confidence",)),
    "object-centred encoder": Addition("model.encoder"),
    "placed patch / palette decoder": Addition("model.decoder"),
    "pixel shuffle": Addition("model.upsampling"),
    "nuisance partition": Addition("model.nuisance_partitions"),
    "residual relations": Addition("model.residual_relations"),
    "He initialisation": Addition("model.he_initialisation"),
    "learning rate ramp": Addition("training.ramp_steps"),
    "learning rate decay": Addition("training.decay"),
    "clipping": Addition("training.clip"),
    "ending phase": Addition("training.ending", dependents=("ending on means",)),
    "ending on means": Addition("training.ending_means"),
}
"""Every addition by name. A test holds that each setting called an addition is in one of them."""


def additions_of(config: Config) -> tuple[str, ...]:
    """Names of the additions that a configuration uses, in the order of `ADDITIONS`."""
    settings, paper = config.flat(), Config().flat()
    return tuple(
        name
        for name, addition in ADDITIONS.items()
        if settings[addition.switch] != paper[addition.switch]
    )


def taken_out(config: Config, name: str) -> Config:
    """The configuration without one addition: its settings as in the paper, the others as they are.

    Additions to it, its `dependents`, go with it.

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
    switches = [ADDITIONS[each].switch for each in (name, *addition.dependents)]
    values = {setting: paper[setting] for setting in (*switches, *addition.details)}
    return config.with_values(values | addition.instead)
