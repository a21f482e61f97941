"""The settings of an experiment: meaning, range, and whether each is an addition to the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from tyro.conf import Suppress, arg

from weakdis_core.config.description import Description

ModelKind = Literal["modular", "monolithic", "few_labels", "zerodim"]
BY_FACTOR: tuple[ModelKind, ...] = ("modular", "few_labels", "zerodim")
"""Kinds of models with a partition for each factor."""
WITHOUT_PRIOR: tuple[ModelKind, ...] = ("few_labels", "zerodim")
"""Kinds of models that have no adaptive prior, and so no relational learner."""
Regulariser = Literal["beta_vae", "factor_vae", "beta_tcvae", "dip_vae_i", "dip_vae_ii"]
Source = Literal["auto", "official", "rendered", "own"]
LabelDraw = Literal["even", "random", "chosen"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e4)]
Rate = Annotated[float, Field(gt=0, le=1)]
_FEWEST_LABELS = 10


class Settings(BaseModel):
    """Base class of all settings: immutable, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _all_or_some(labels: int) -> int:
    if 0 < labels < _FEWEST_LABELS:
        raise ValueError(f"Input should be 0 (all) or at least {_FEWEST_LABELS}")
    return labels


class DataSettings(Settings):
    """Images and labels."""

    variant: str = "dsprites_v4"
    """Data set variant, or the name or description (a YAML file) of an own data set."""
    source: Source = "auto"
    """Official files, our own rendering, official where the files are present (auto), or an own
    data set."""
    description: Annotated[Description | None, Suppress] = None
    """Content of an own data set's description, filled in by its name."""
    max_images: int = Field(50_000, ge=1_000, le=480_000)
    """Number of images drawn from the variant, by the data seed."""
    data_seed: int = Field(0, ge=0)
    """Seed of the draw of images, the splits and the labelled subset."""
    labels: Annotated[int, AfterValidator(_all_or_some)] = Field(1000, ge=0, le=100_000)
    """Size of the labelled subset: train images with known factor values. 0 is all that have some,
    for own pictures."""
    label_draw: LabelDraw = "even"
    """Draw of the labelled subset: at random, as a user draws who has no labels yet; chosen by
    `weakdis data choose`; or even over the values of every factor (monolithic: over their
    combinations), which needs all labels."""
    shuffle_labels: bool = False
    """Control: permute the labels between the images of the labelled subset, by the data seed."""


class ModelSettings(Settings):
    """Networks and their sizes."""

    kind: ModelKind = "modular"
    """One partition for each factor; (monolithic, the previous work) one code for the whole image,
    with one component for each combination of factor values in the labelled subset; (few_labels) a
    VAE with one latent for each factor; or (zerodim) a classifier for each factor and an embedding
    for each value."""
    latent_size: int = Field(8, ge=1, le=512)
    """Latent dimensions of each partition (d)."""
    nuisance_partitions: int = Field(0, ge=0, le=16)
    """Addition: extra partitions with an N(0, I) prior, for variation outside the factors."""
    encoder: Literal["convolutional", "object_centred", "residual"] = "convolutional"
    """Convolutional, or (additions) object-centred: a window placed by a learned localiser, a
    coarse view of the whole image and the position; or residual blocks on a window that follows
    the object in size, too."""
    decoder: Literal[
        "convolutional", "placed_patch", "palette", "scaled_patch", "palette_patch"
    ] = "convolutional"
    """Convolutional, or (additions) placed_patch: a patch at a learned place; palette: colours
    mixed by masks; scaled_patch: a patch with a place and a size on a coarse background;
    palette_patch: such a patch of colours mixed by masks."""
    upsampling: Literal["transposed", "pixel_shuffle"] = "transposed"
    """Last layers of a convolutional decoder: transposed convolutions (paper), or (addition) a
    pixel shuffle, which is cheaper and learns sharp edges sooner."""
    channels: int = Field(32, ge=4, le=512)
    """Channels of the first convolution. Deeper ones have twice as many."""
    hidden: int = Field(1024, ge=16, le=4096)
    """Units of the fully connected layer of encoder and decoder."""
    discriminator_width: int = Field(1024, ge=16, le=4096)
    """Units of each of the discriminator's three layers (paper: 1024)."""
    relational_width: int = Field(1024, ge=16, le=4096)
    """Units of each of the relational learner's three layers (paper: 1024)."""
    residual_relations: bool = False
    """Addition: the relational learner adds its output to the codes (z' = z + MLP)."""
    he_initialisation: bool = False
    """Addition: He initialisation, with scaled last layers (decoder 0.3, encoder 0.5)."""


class LossSettings(Settings):
    """Terms of the loss: equations 1-3 and additions."""

    reconstruction_weight: Weight = 1.0
    """Weight of the reconstruction loss, a sum over pixels and mean over the batch."""
    prior_matching: Literal["adversarial", "kl"] = "adversarial"
    """Match of codes and prior: adversarial (Eq. 2), or (addition) KL of a Gaussian encoder."""
    lambda_: Annotated[float, Field(alias="lambda", gt=0, le=100), arg(name="lambda")] = 0.2
    """Weight of the prior-matching term (lambda of Eq. 1). With the KL it is also multiplied by
    `reconstruction_weight`, so that its effect does not depend on that weight."""
    lambda_ramp: Fraction = 0.0
    """Addition (> 0): fraction of the steps over which lambda grows from 0. A full lambda from the
    start pulls unlabelled codes to wrong components before the encoder reads their values."""
    nuisance_weight: Weight = 1.0
    """Addition (above 1): factor on the KL of nuisance partitions. It keeps factor values out of
    them, so that the decoder draws each value from its own partition."""
    label_weight: Weight = 0.0
    """Addition: cross-entropy that pulls labelled codes towards their components."""
    label_temperature: float = Field(1.0, gt=0, le=100)
    """Addition (above 1): divisor of the log-densities in the label cross-entropy, which then keeps
    a gradient for confident posteriors and pulls components apart until they hardly overlap."""
    image_noise: Fraction = 0.0
    """Addition: standard deviation of the noise on the encoder's input (not on the target)."""
    prior_refit_every: int = Field(0, ge=0, le=10_000)
    """Addition (> 0): steps between refits of the adaptive prior. 0 fits it once, after warmup."""
    covariance_scale: float = Field(1.0, gt=0, le=10)
    """Factor on the fitted covariances (0.1 in the earlier model's code). Below 1 it separates the
    means of components, which the relational learner needs as targets."""
    covariance_floor: float = Field(1e-2, gt=0, le=1)
    """Added to the diagonal of every fitted covariance, so that none is singular."""
    shared_covariance: bool = False
    """Addition: the components of a partition share one covariance and differ in their means only.
    Necessary with thousands of components."""
    standardise_prior: bool = False
    """Addition: rescale each mixture to zero mean and unit mean variance, against scale drift."""
    ordered_means: Weight = 0.0
    """Addition (> 0): the components' means of an ordinal or circular factor vary smoothly along
    its values. The penalty on second differences weighs as much as this number of labels."""
    consistency_weight: Weight = 0.0
    """Addition: a transformed unlabelled image must keep the values that are read with confidence
    in the clean image. The weight grows from 10% to 30% of the steps."""
    sleep_weight: Weight = 0.0
    """Addition: the encoder must read the values of images that the decoder draws from prior
    samples (the sleep phase of Hinton et al., 1995). The weight grows from 10% to 30% of the
    steps."""
    resample_probability: Fraction = 0.0
    """Addition: probability that the decoder receives a new sample of the component instead of the
    code of a confident partition."""
    resample_confidence: Fraction = 0.9
    """Least posterior probability of a confident partition."""


class TrainingSettings(Settings):
    """Schedule and optimisers."""

    steps: int = Field(105_000, ge=10, le=10_000_000)
    """Number of optimisation steps. Every other length is a fraction of it."""
    warmup: float = Field(0.02, ge=0, lt=1)
    """Fraction of the steps with the N(0, I) prior and without the relational learner."""
    ending: float = Field(0.0, ge=0, lt=1)
    """Addition: last fraction of the steps, with frozen encoder and priors."""
    ending_means: bool = False
    """Addition: in the ending, the decoder receives means of a Gaussian encoder instead of samples,
    which makes edges sharper."""
    batch_size: int = Field(1024, ge=2, le=16_384)
    """Unlabelled images of a step."""
    labelled_batch_size: int = Field(1, ge=1, le=16_384)
    """Labelled images of a step, in addition to the unlabelled ones, and images of the sleep phase.
    A few are enough if the autoencoder's loss uses no labels and the prior is fitted once."""
    relation_batch_size: int = Field(128, ge=1, le=16_384)
    """Codes of a step of the relational learner."""
    learning_rate: Rate = 1e-4
    """Adam's learning rate for the autoencoder."""
    discriminator_learning_rate: Rate = 1e-4
    """Adam's learning rate for the discriminator."""
    relational_learning_rate: Rate = 1e-4
    """Adam's learning rate for the relational learner."""
    ramp_steps: int = Field(0, ge=0, le=100_000)
    """Addition: steps over which the learning rate grows from 0."""
    decay: bool = False
    """Addition: the learning rate falls to a twentieth along half a cosine."""
    transform: bool = False
    """Addition: transform the images at random, as the data set's description allows, except in
    the ending."""
    clip: float = Field(0.0, ge=0, le=1e6)
    """Addition (> 0): largest gradient norm of the autoencoder."""
    evaluations: int = Field(20, ge=1, le=10_000)
    """Number of evaluations on validation, evenly spaced over the run."""
    evaluation_samples: int = Field(2000, ge=10, le=100_000)
    """Codes or images of one evaluation."""
    density_threshold: Annotated[float | None, Field(allow_inf_nan=False)] = None
    """Least log-density of a code under its partition's prior at which the outcome of a relation is
    accepted. Reports then have the accuracy and the fraction of accepted outcomes."""

    @property
    def warmup_steps(self) -> int:
        """Number of warmup steps."""
        return round(self.warmup * self.steps)

    @property
    def ending_step(self) -> int:
        """Number of steps before the ending."""
        return round((1 - self.ending) * self.steps)

    @model_validator(mode="after")
    def _stages_fit(self) -> TrainingSettings:
        # Compare steps, not fractions: without a step after warmup no prior is fitted.
        if self.warmup_steps >= self.ending_step:
            raise ValueError(
                f"warmup {self.warmup} and ending {self.ending} leave no steps between them: of "
                f"{self.steps} the first {self.warmup_steps} are warmup, and the ending begins "
                f"after {self.ending_step}"
            )
        return self


class FewLabelsSettings(Settings):
    """Loss of the baseline of Locatello et al. (2020); other models ignore it."""

    regulariser: Regulariser = "beta_vae"
    """Unsupervised regulariser of the VAE."""
    strength: float = Field(4.0, gt=0, le=1000)
    """Weight of the regulariser: beta, FactorVAE's gamma, or DIP-VAE's lambda."""
    supervised_weight: Weight = 4.0
    """Weight of the supervised term, a sum over labelled images and factors (gamma_sup)."""
    supervised: Literal["xent", "l2"] = "xent"
    """Cross-entropy of the sigmoid of a factor's latent with v/n, or its squared error."""


class ZeroDimSettings(Settings):
    """Model and loss of the baseline of Gabbay et al. (2021); other models ignore it."""

    embedding_size: int = Field(1, ge=1, le=64)
    """Dimensions of the embedding of a factor value."""
    residual_size: int = Field(7, ge=1, le=64)
    """Dimensions of the residual code of an image."""
    residual_noise: Weight = 1.0
    """Standard deviation of the noise on residual codes in training."""
    residual_weight: Weight = 1e-5
    """Weight of the squared length of residual codes."""
    entropy_weight: Weight = 1e-3
    """Weight of the entropy of the classifiers' outputs for unlabelled images."""
    label_weight: Weight = 1e-3
    """Weight of the classifiers' cross-entropy on labelled images."""
    labelled_factor: Weight = 10.0
    """Factor on all losses of the labelled images."""
    reconstruction: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    """Reconstruction loss, a mean over pixels."""
    tuning_weight: Weight = 10.0
    """Weight of the residual encoder's squared error in the ending, beside the reconstruction."""
    code_learning_rate: Rate = 1e-2
    """Adam's learning rate for embeddings and residual codes."""
    classifier_learning_rate: Rate = 1e-4
    """Adam's learning rate for the classifiers. Generator and residual encoder have that of
    `training`."""
    shared_classifier: bool = False
    """Whether all factors share one network with an output for each value (published: a network for
    each factor)."""


class RuntimeSettings(Settings):
    """Execution of a run. These settings are not part of the configuration hash."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Autocast type. auto is bfloat16 on a GPU that supports it, float32 elsewhere."""
    threads: int = Field(1, ge=1, le=1024)
    """CPU threads of torch. Fixed, so that a run gives the same numbers alone and under Ray."""
    data_dir: Path | None = None
    """Folder of the official files."""
    log_every: int = Field(50, ge=1, le=100_000)
    """Steps between readings of the losses. Each waits for the device."""
