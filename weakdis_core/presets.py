"""Starting points: `default` (what works), `paper` (the literal objective), `quick` (a minute)."""

from typing import Any, Literal

from weakdis_core.baselines.monolithic import make_monolithic
from weakdis_core.config.config import Config, validated
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.variants import get_variant

PresetName = Literal["default", "paper", "quick"]

# What works on rendered images of both families. With a covariance for each component, those of a
# factor can end on one another (docs/results.md). In the same time, small batches and many steps
# learn more than large batches and few (docs/results.md at commits 1755310 and 9d25c2c).
_COMMON: dict[str, Any] = {
    "model.channels": 32,
    "model.hidden": 256,
    "model.discriminator_width": 256,
    "model.relational_width": 256,
    "model.residual_relations": True,
    "loss.prior_matching": "kl",
    "loss.standardise_prior": True,
    "loss.shared_covariance": True,
    "loss.covariance_scale": 0.1,
    "loss.prior_refit_every": 5,
    "loss.label_weight": 10.0,
    "training.steps": 2200,
    "training.batch_size": 32,
    "training.labelled_batch_size": 32,
    "training.learning_rate": 2e-3,
    "training.relational_learning_rate": 3e-3,
    "training.decay": True,
    "training.evaluations": 8,
}

_WORKS: dict[str, dict[str, Any]] = {
    # An object-centred autoencoder. Until commit 9d25c2c the adversary held its codes to the prior:
    # pictures after a relation were then 6 to 9 dB below reconstructions (its docs/results.md).
    "dsprites": {
        "model.encoder": "object_centred",
        "model.decoder": "placed_patch",
        "loss.reconstruction_weight": 0.1,
        "loss.lambda": 1.0,
        "loss.label_temperature": 2.0,
        "training.warmup": 0.03,
        "training.ending": 0.3,
        "training.ending_means": True,
        "training.relation_batch_size": 64,
    },
    # A palette and a nuisance partition. Of 18 trials (`python sweeps/run.py --variant shapes3d_v3
    # --set data.labels=1000 --trials 24` at commit 50589db, on a GPU) the best had latent size 12
    # and lambda 4.7: on another seed pixels .998 instead of .992, but reconstructions of 27.2 dB
    # instead of 28.9, and with this lambda hues kept by .93 instead of .99. So both stay.
    "shapes3d": {
        "model.decoder": "palette",
        "model.nuisance_partitions": 1,
        "model.he_initialisation": True,
        "model.upsampling": "pixel_shuffle",
        "loss.reconstruction_weight": 0.02,
        "loss.lambda": 2.0,
        "loss.label_temperature": 20.0,
        "loss.image_noise": 0.05,
        "loss.cycle_weight": 0.5,
        "loss.cycle_start": 0.2,
        "loss.cycle_swaps": 0.33,
        "loss.resample_probability": 0.5,
        "training.warmup": 0.07,
        "training.ending": 0.2,
        "training.relation_batch_size": 32,
        "training.ramp_steps": 60,
        "training.clip": 20.0,
    },
}

_OF_VARIANT: dict[str, dict[str, Any]] = {
    # The best trial of 16 (`python sweeps/run.py --variant dsprites_v4 --set data.labels=1000
    # --trials 16` at commit e2534ce; its latent size was 8 as well). The other two have nuisance
    # that their codes must say too, and draw it worse with this lambda.
    "dsprites_v4": {"loss.lambda": 3.7, "training.warmup": 0.06},
    # Five factors and the nuisance beside them: rooms take more steps to come out sharp.
    "shapes3d_v5": {"training.steps": 2700},
}

# What suits the previous work's model better than our settings, seen on seed 2 and data seed 0.
# Many components lie close together: only with a higher temperature do labels go on teaching.
# `python -m weakdis_core train --variant dsprites_v4 --model monolithic --seed 2` reaches .574
# pixels on test, and .196 with `--loss.label-temperature 2`.
_MONOLITHIC: dict[str, dict[str, Any]] = {
    "dsprites": {
        "loss.lambda": 1.0,
        "loss.label_temperature": 20.0,
        "loss.cycle_weight": 0.2,
        "loss.cycle_start": 0.15,
        "training.warmup": 0.03,
        "training.ramp_steps": 60,
        "training.clip": 5.0,
    },
    "shapes3d": {},
}

# Fewer steps and smaller evaluations; the same settings otherwise.
_QUICK = {"training.evaluations": 3, "training.evaluation_samples": 1000}
_QUICK_STEPS = {"dsprites": 680, "shapes3d": 500}

# Learning rates from the authors' published code of the earlier model.
_PAPER_RATE = {"dsprites": 1e-4, "shapes3d": 1e-5}
_PAPER_EPOCHS = 5000
_PAPER_CHANNELS = {"dsprites": 32, "shapes3d": 64}


def preset(name: PresetName, variant: str, model: ModelKind = "modular") -> Config:
    """The settings called `name` for a variant and a kind of model.

    * `default`: what works, with every addition to the paper that pays.
    * `paper`: equations 1-3 and nothing else, the paper's sizes and lengths, for a GPU. What the
      paper's text leaves open (lambda, learning rate, convolutions, warmup length) is taken from
      the authors' published code of the earlier model.
    * `quick`: the default's settings over fewer steps, for a first look and for tests.

    The monolithic model has the same, less what makes no sense for one code, and what of the
    additions suits it better.

    Raises:
        UserError: The variant is unknown.
    """
    config = _modular(name, variant)
    if model == "modular":
        return config
    config = make_monolithic(config, literal=name == "paper")
    family = get_variant(variant).family
    return config if name == "paper" else config.with_values(_MONOLITHIC[family])


def _modular(name: PresetName, variant: str) -> Config:
    family = get_variant(variant).family
    if name == "paper":
        values = learning_rates(_PAPER_RATE[family]) | {
            "model.channels": _PAPER_CHANNELS[family],
            "loss.covariance_scale": 0.1,
            "training.steps": _paper_steps(variant),
        }
    else:
        values = _COMMON | _WORKS[family] | _OF_VARIANT.get(variant, {})
    if name == "quick":
        values |= _QUICK | {"training.steps": _QUICK_STEPS[family]}
    return validated({"data": {"variant": variant}}).with_values(values)


def learning_rates(rate: float) -> dict[str, float]:
    """The same learning rate for every network."""
    networks = ("", "discriminator_", "relational_")
    return {f"training.{network}learning_rate": rate for network in networks}


def _paper_steps(variant: str) -> int:
    """The paper's 5000 epochs of batches of 1024 train images, the warmup among them."""
    settings = Config().data
    images = min(get_variant(variant).n_images, settings.max_images)
    return round(_PAPER_EPOCHS * 0.8 * images / 1024)
