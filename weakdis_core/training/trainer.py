"""The training loop of `python -m weakdis_core train` and of every trial of a sweep."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from weakdis_core.baselines.monolithic import CombinationCoding
from weakdis_core.baselines.zerodim import OneHotCodes
from weakdis_core.checkpoint import read_checkpoint, saved_config, write_checkpoint
from weakdis_core.config.config import Config
from weakdis_core.config.settings import BY_FACTOR, WITHOUT_PRIOR, ModelKind
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.labelled import warn_of_missing_values
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import shuffled, splits_of
from weakdis_core.devices import apply_runtime, flush_denormals
from weakdis_core.errors import UserError
from weakdis_core.evaluation.accuracies import LOWEST_DENSITY, Evaluator
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.model import Model
from weakdis_core.models.networks import Networks
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.fitting import LabelledCodes
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import numpy_generator, torch_generator
from weakdis_core.training.batches import Batch, BatchSource
from weakdis_core.training.choice import label_images
from weakdis_core.training.consistency import Consistency
from weakdis_core.training.few_labels_objectives import FewLabelsObjectives
from weakdis_core.training.objectives import Objectives
from weakdis_core.training.terms import RunningTerms
from weakdis_core.training.zerodim_objectives import ZeroDimObjectives

Stage = Literal["warmup", "full", "ending"]
_CHUNK = 500
_OBJECTIVES: dict[ModelKind, type[Objectives]] = {
    "few_labels": FewLabelsObjectives,
    "zerodim": ZeroDimObjectives,
}
_STREAMS = ("images", "labels", "noise", "codes", "priors", "relations", "transformations")


@dataclass(frozen=True)
class Report:
    """The result of one evaluation.

    Attributes:
        step: Optimisation steps done.
        stage: Stage of the last step.
        metrics: `train/...` means since the last report, and after the warmup `val/...` accuracies
            on validation.
        seconds: Seconds of training so far, with evaluations and without interruptions.
    """

    step: int
    stage: Stage
    metrics: dict[str, float]
    seconds: float


class Trainer:
    """Trains one configuration on one prepared variant.

    `seconds` and `cpu_seconds` are the wall and CPU time of training so far, with evaluations on
    validation. Checkpoints store both, so that an interrupted run reports its whole cost.

    Args:
        config: The settings.
        prepared: The variant's images.
        oracle: Classifier that judges decoded pictures.

    Raises:
        UserError: The labelled subset misses a factor value, or the device does not exist.
    """

    def __init__(self, config: Config, prepared: Prepared, oracle: Oracle) -> None:
        self.config = config
        self.device, autocast = apply_runtime(config.runtime)
        self.variant = prepared.variant
        self.images_digest = prepared.digest
        self.bank = ImageBank(prepared, self.device)
        data = config.data
        self.splits = splits_of(prepared, data.data_seed)
        train = self.splits.train
        labelled = label_images(config, prepared, train)
        warn_of_missing_values(self.variant, prepared.factors[labelled])
        self.train_index = torch.from_numpy(train).to(self.device)
        self.labelled_index = torch.from_numpy(labelled).to(self.device)
        if data.shuffle_labels:
            order = numpy_generator(data.data_seed, "shuffled labels").permutation(labelled)
            self.bank.values[self.labelled_index] = self.bank.values[torch.from_numpy(order)]
        values = self.bank.values[self.labelled_index]
        relations = self.variant.relation_table(str(self.device))
        kind, orders = config.model.kind, self.variant.orders
        by_factor = kind in BY_FACTOR
        self.coding = (
            Coding(relations, orders) if by_factor else CombinationCoding(values, relations)
        )
        self.networks = Networks(self.variant, config, self.device, autocast)
        seed, device = config.seed, self.device
        self.generators = {name: torch_generator(seed, name, device) for name in _STREAMS}
        self.consistency = Consistency(
            torch.tensor(self.coding.n_components, device=device), device
        )
        objectives = _OBJECTIVES.get(kind, Objectives)
        self.objectives = objectives(
            config, self.networks, self.coding, self.generators, self.consistency
        )
        threshold = config.training.density_threshold
        oracle = oracle.to(self.device)
        mixtures = kind not in WITHOUT_PRIOR
        self.evaluator = Evaluator(
            self.variant, self.bank, oracle, self.coding, threshold, mixtures
        )
        partitions = self.networks.autoencoder.partitions
        labelled_codes = OneHotCodes if kind == "zerodim" else LabelledCodes
        self.labelled = labelled_codes(values, self.coding, config, partitions)
        self.batches = BatchSource(
            config,
            self.bank,
            self.variant.transformations,
            self.train_index,
            self.labelled_index,
            self.labelled.components,
            self.generators,
        )
        self.prior = self.labelled.standard()
        self.lowest_density: float | None = None
        self.step = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self._terms = RunningTerms()

    @property
    def prior(self) -> Prior:
        """The present prior."""
        return self._prior

    @prior.setter
    def prior(self, prior: Prior) -> None:
        self._prior = prior
        self.networks.follow(prior)

    @property
    def model(self) -> Model:
        """The model with its present prior."""
        return Model(self.config, self.networks, self.prior, self.lowest_density)

    def stage(self, step: int) -> Stage:
        """Return the stage of the step that follows `step` finished ones."""
        training = self.config.training
        if step < training.warmup_steps:
            return "warmup"
        return "full" if step < training.ending_step else "ending"

    def fit(self) -> Iterator[Report]:
        """Train to the last step.

        Yields:
            A report for each evaluation. The last step is evaluated.

        Raises:
            TrainingDiverged: A loss is NaN or infinite.
        """
        torch.set_num_threads(self.config.runtime.threads)
        training = self.config.training
        n = training.evaluations
        reports = {math.ceil(training.steps * (i + 1) / n) for i in range(n)}
        started, started_cpu = self._clocks()
        while self.step < training.steps:
            self._train_step()
            self.step += 1
            if self.step in reports or self.step % self.config.runtime.log_every == 0:
                self._terms.check(self.step, f"config {self.config.hash()} seed {self.config.seed}")
            if self.step in reports:
                metrics = self._terms.means()
                stage = self.stage(self.step - 1)
                if stage != "warmup":
                    scores = self.evaluate("validation", training.evaluation_samples)
                    metrics |= {f"val/{name}": value for name, value in scores.items()}
                self.seconds = time.perf_counter() - started
                self.cpu_seconds = time.process_time() - started_cpu
                yield Report(self.step, stage, metrics, self.seconds)
                # Exclude the caller's time.
                started, started_cpu = self._clocks()

    def evaluate(
        self, name: Literal["validation", "test"], samples: int | None = None
    ) -> dict[str, float]:
        """Return accuracies on `images_of` a split, with the same draws at every call."""
        index = self.images_of(name, samples)
        generator = torch_generator(self.config.seed, f"evaluation/{name}", self.device)
        scores = self.evaluator.evaluate(self.networks, self.prior, index, generator)
        density = scores.pop(LOWEST_DENSITY)
        if name == "validation":
            self.lowest_density = density
        return scores

    def images_of(self, name: Literal["validation", "test"], samples: int | None = None) -> Tensor:
        """Return at most `samples` images of a split in random but fixed order; None for all."""
        index = shuffled(getattr(self.splits, name), self.config.data.data_seed, name)
        return torch.from_numpy(index[:samples]).to(self.device)

    @torch.no_grad()
    def codes_of(self, index: Tensor) -> Tensor:
        """Return the encoder's means of images, `(n, partitions, latent)`."""
        model = self.networks.autoencoder
        # Pixel unshuffle refuses an empty batch.
        parts = [part for part in index.split(_CHUNK) if len(part)]
        none = torch.empty(0, model.partitions, model.latent, device=index.device)
        return torch.cat([none, *(model.encode(self.bank.batch(part)).means for part in parts)])

    def save(self, path: Path) -> None:
        """Write the complete state to one file, atomically."""
        state = {
            "config": self.config.to_dict(),
            "images": self.images_digest,
            "device": self.device.type,
            "step": self.step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "networks": self.networks.state_dict(),
            "prior": vars(self.prior),
            "lowest_density": self.lowest_density,
            "memory": self.labelled.codes,
            "generators": {name: g.get_state() for name, g in self.generators.items()},
            "consistency": self.consistency.state_dict(),
            **self._terms.state_dict(),
        }
        write_checkpoint(state, path)

    def load(self, path: Path, to_continue: bool = True) -> None:
        """Restore the state from a file written by `save`.

        Args:
            path: The file.
            to_continue: Whether to restore the random generators too, to continue training exactly.
                Their states fit one kind of device only.

        Raises:
            UserError: The file cannot be read, or belongs to another configuration, other images
                or (to continue) another kind of device.
        """
        state = read_checkpoint(path)
        saved = saved_config(state, path)
        if (saved.hash(), saved.seed) != (self.config.hash(), self.config.seed):
            raise UserError(
                f"{path}: checkpoint of config {saved.hash()} seed {saved.seed}, "
                f"not of {self.config.hash()} seed {self.config.seed}"
            )
        if state["images"] != self.images_digest:
            raise UserError(
                f"{path}: trained on images {state['images']}, not on {self.images_digest}; "
                "the data set or its renderer has changed since"
            )
        if to_continue:
            if state["device"] != self.device.type:
                raise UserError(
                    f"{path}: written on {state['device']}, cannot be continued on "
                    f"{self.device.type}; use runtime.device {state['device']}"
                )
            for name, saved_state in state["generators"].items():
                self.generators[name].set_state(saved_state)
        self.consistency.load_state_dict(state["consistency"])
        self.networks.load_state_dict(state["networks"])
        prior = {name: value.to(self.device) for name, value in state["prior"].items()}
        self.prior = type(self.prior)(**prior)
        self.labelled.codes = state["memory"].to(self.device)
        self.step, self.lowest_density = state["step"], state["lowest_density"]
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self._terms.load_state_dict(state, self.device)

    @flush_denormals()
    def _train_step(self) -> None:
        stage = self.stage(self.step)
        if self.step == self.config.training.warmup_steps:
            self.enter_full_training()
        self.networks.set_learning_rates(self.step)
        batch = self.next_batch()
        terms, codes = self.objectives.autoencoder_step(batch, self.prior, stage, self.step)
        if stage != "warmup":
            terms |= self.objectives.relational_step(self.prior)
        if stage == "full":
            self.labelled.codes[batch.rows] = codes
            every = self.config.loss.prior_refit_every
            if every and (self.step + 1) % every == 0:
                self.prior = self.labelled.fit()
        self._terms.add(terms)

    def next_batch(self) -> Batch:
        """Draw the images of the next step."""
        # The decoder ends with the images as they are.
        return self.batches.draw(transformed=self.stage(self.step) != "ending")

    def _clocks(self) -> tuple[float, float]:
        """Return the wall and CPU times at which an uninterrupted run would have started."""
        return time.perf_counter() - self.seconds, time.process_time() - self.cpu_seconds

    @torch.no_grad()
    def enter_full_training(self) -> None:
        """Encode the labelled subset and fit the adaptive priors to it."""
        model, generator = self.networks.autoencoder, self.generators["codes"]
        images = map(self.bank.batch, self.labelled_index.split(_CHUNK))
        self.labelled.codes = torch.cat([model.encode(each).sample(generator) for each in images])
        self.prior = self.labelled.fit()
