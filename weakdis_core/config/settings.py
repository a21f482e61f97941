"""The settings of an experiment by group: what each is, its range, and whether the paper has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from tyro.conf import arg

VariantName = Literal[
    "dsprites_v2",
    "dsprites_v3",
    "dsprites_v4",
    "shapes3d_v2",
    "shapes3d_v3",
    "shapes3d_v5",
]
ModelKind = Literal["modular", "monolithic"]
Source = Literal["auto", "official", "rendered"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e4)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Settings(BaseModel):
    """Base of all settings: immutable, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class DataSettings(Settings):
    """Which images and labels."""

    variant: VariantName = "dsprites_v4"
    """Data set variant."""
    source: Source = "auto"
    """Official files, our own rendering, or official where the files are present (auto)."""
    max_images: int = Field(50_000, ge=1_000, le=480_000)
    """Images drawn from the variant, by the data seed."""
    data_seed: int = Field(0, ge=0)
    """Seed of the draw of images, the splits and the labelled subset."""
    labels: int = Field(1000, ge=10, le=100_000)
    """Size of the labelled subset (images of the train split whose factor values are known)."""
    shuffle_labels: bool = False
    """A control: the labelled subset's factor values are permuted between its images, by the data
    seed, so that they say nothing of them."""


class ModelSettings(Settings):
    """Networks and their sizes."""

    kind: ModelKind = "modular"
    """A partition for each factor, or (the previous work's) one code for the whole image with a
    component for each combination of factor values that the labelled subset owns."""
    latent_size: int = Field(8, ge=1, le=512)
    """Latent dimensions of each partition (d)."""
    nuisance_partitions: int = Field(0, ge=0, le=4)
    """Addition: extra partitions with an N(0, I) prior for what the factors do not say."""
    encoder: Literal["convolutional", "object_centred"] = "convolutional"
    """Convolutional over the whole image, or (addition) a window where a learned localiser looks,
    with a coarse view of the whole image and the position."""
    decoder: Literal["convolutional", "placed_patch", "palette"] = "convolutional"
    """Convolutional, or (additions) a patch placed by a learned translation, or a palette of
    colours mixed by masks."""
    upsampling: Literal["transposed", "pixel_shuffle"] = "transposed"
    """How a convolutional decoder reaches full size: transposed convolutions (paper), or (addition)
    a pixel shuffle at half of it, which is cheaper and learns sharp edges sooner."""
    channels: int = Field(32, ge=4, le=512)
    """Channels of the first convolution; deeper ones have twice as many."""
    hidden: int = Field(1024, ge=16, le=4096)
    """Units of the encoder's and decoder's fully connected layer."""
    discriminator_width: int = Field(1024, ge=16, le=4096)
    """Units of each of the discriminator's three layers (paper: 1024)."""
    relational_width: int = Field(1024, ge=16, le=4096)
    """Units of each of the relational learner's three layers (paper: 1024)."""
    residual_relations: bool = False
    """Addition: the relational learner adds its output to the codes (z' = z + MLP)."""
    he_initialisation: bool = False
    """Addition: He initialisation, the last layers of decoder and encoder scaled by 0.3 and 0.5."""


class LossSettings(Settings):
    """Equations 1-3 and the additions to them."""

    reconstruction_weight: Weight = 1.0
    """Factor of the reconstruction loss, which is summed over pixels, batch mean."""
    prior_matching: Literal["adversarial", "kl"] = "adversarial"
    """How codes are held to the prior: Eq. 2, or (addition) a Gaussian encoder's closed-form KL."""
    lambda_: Annotated[float, Field(alias="lambda", gt=0, le=100), arg(name="lambda")] = 0.2
    """Weight of the prior-matching term (lambda of Eq. 1). With the KL it multiplies
    `reconstruction_weight` too, so that its meaning does not depend on that factor."""
    label_weight: Weight = 0.0
    """Addition: cross-entropy that pulls labelled codes to their own component."""
    label_temperature: float = Field(1.0, gt=0, le=100)
    """Addition (above 1): divides the log-densities in the label cross-entropy. Densities of
    narrow components are sure of themselves long before they are right: above 1 the labels go on
    teaching, and pull components apart until their samples hardly overlap."""
    image_noise: Fraction = 0.0
    """Addition: standard deviation of the noise on the images that the encoder sees in training;
    what the decoder has to draw stays clean."""
    prior_refit_every: int = Field(0, ge=0, le=10_000)
    """Addition (> 0): steps between refits of the adaptive prior; 0 fits it once, after warmup."""
    covariance_scale: float = Field(1.0, gt=0, le=10)
    """Factor on the fitted covariances (the earlier model's code uses 0.1). At 1 components can lie
    on one another, told apart by the shapes of their covariances alone: codes are still read
    rightly then, but no relational learner can aim at a component. Below 1 they draw together."""
    covariance_floor: float = Field(1e-2, gt=0, le=1)
    """Added to the diagonal of every fitted covariance: a component is never singular."""
    shared_covariance: bool = False
    """Addition: the components of a partition share one covariance, as thousands of them must. They
    can then be told apart by their means alone, never by the shapes of their covariances."""
    standardise_prior: bool = False
    """Addition: rescale each mixture to zero mean and unit mean variance (against scale drift)."""
    cycle_weight: Weight = 0.0
    """Addition: decoded prior samples, read back by the frozen encoder, must keep their values."""
    cycle_start: Fraction = 0.2
    """Fraction of the steps after which the cycle term begins."""
    cycle_swaps: Fraction = 0.0
    """Share of the cycle's codes that are labelled codes with partitions swapped between images."""
    resample_probability: Fraction = 0.0
    """Addition: probability that a confident partition is replaced, for the decoder, by a fresh
    sample of its component."""
    resample_confidence: Fraction = 0.9
    """Posterior probability from which a partition may be resampled."""


class TrainingSettings(Settings):
    """Schedule and optimisation."""

    steps: int = Field(105_000, ge=10, le=10_000_000)
    """Optimisation steps in all; every other length is a fraction of it."""
    warmup: float = Field(0.02, ge=0, lt=1)
    """Fraction of the steps with the N(0, I) prior and without the relational learner."""
    ending: float = Field(0.0, ge=0, lt=1)
    """Addition: last fraction of the steps, with encoder and priors frozen."""
    ending_means: bool = False
    """Addition: the decoder then draws the means of a Gaussian encoder's codes instead of samples,
    which makes edges sharper."""
    batch_size: int = Field(1024, ge=2, le=16_384)
    """Unlabelled images of a step."""
    labelled_batch_size: int = Field(1, ge=1, le=16_384)
    """Labelled images of a step, beside the unlabelled ones. Without a use of labels in the
    autoencoder's loss, and with a prior fitted once, they need not be many."""
    relation_batch_size: int = Field(128, ge=1, le=16_384)
    """Codes of a step of the relational learner, and of the cycle term."""
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
    clip: float = Field(0.0, ge=0, le=1e6)
    """Addition (> 0): largest gradient norm of the autoencoder."""
    evaluations: int = Field(20, ge=1, le=10_000)
    """Evaluations on validation, evenly spaced over the run."""
    evaluation_samples: int = Field(2000, ge=10, le=100_000)
    """Codes or images of one evaluation."""
    density_threshold: Annotated[float | None, Field(allow_inf_nan=False)] = None
    """Log-density of a code under its partition's prior from which a relation's outcome is
    accepted: the accuracy among accepted ones and their share are then reported too."""

    @property
    def warmup_steps(self) -> int:
        """Steps of the warmup."""
        return round(self.warmup * self.steps)

    @property
    def ending_step(self) -> int:
        """Steps before the ending."""
        return round((1 - self.ending) * self.steps)

    @model_validator(mode="after")
    def _stages_fit(self) -> TrainingSettings:
        # Of steps, not of fractions: a model that never leaves its warmup has no fitted prior.
        if self.warmup_steps >= self.ending_step:
            raise ValueError(
                f"warmup {self.warmup} and ending {self.ending} leave no steps between them: of "
                f"{self.steps} the first {self.warmup_steps} are warmup, and the ending begins "
                f"after {self.ending_step}"
            )
        return self


class RuntimeSettings(Settings):
    """How a run is carried out. Nothing here is part of the experiment's identity."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Autocast type; auto is bfloat16 on a GPU that has it, float32 elsewhere."""
    threads: int = Field(1, ge=1, le=1024)
    """CPU threads of torch: fixed, so that a run gives the same numbers alone and under Ray."""
    data_dir: Path | None = None
    """Folder of the official files."""
    log_every: int = Field(50, ge=1, le=100_000)
    """Steps between looks at the losses; each one waits for the device."""
