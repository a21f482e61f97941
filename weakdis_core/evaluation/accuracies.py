"""A model's accuracies on one split (the protocol is in docs/how-it-works.md)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weakdis_core.data.bank import ImageBank
from weakdis_core.data.variant import OWN, IndexArray, Variant
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.metrics.accuracy import (
    ABSENT,
    LABELLED,
    RelationAccuracy,
    balanced_accuracy,
    factor_accuracy,
    majority_accuracy,
    relation_accuracy,
)
from weakdis_core.models.networks import Networks
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.prior import Prior

LOWEST_DENSITY = "lowest_density"
"""Score by which `Model` recognises pictures unlike the training data; no accuracy."""

SMALLEST_ERROR = 1e-12
"""Smallest mean squared error of a PSNR; exact pictures have 120 dB."""

_CHUNK = 500


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Measures the accuracies of a model.

    Attributes:
        variant: The data set variant.
        bank: Its images.
        oracle: Classifier that judges decoded pictures, on the device of the images.
        coding: The meaning of the components of the model's partitions.
        density_threshold: Smallest log-density of an accepted relation outcome; None reports no
            accuracy of accepted outcomes.
        mixtures: Whether the prior is a mixture that the model was trained with. Without one there
            is no latent accuracy.
    """

    variant: Variant
    bank: ImageBank
    oracle: Oracle
    coding: Coding
    density_threshold: float | None = None
    mixtures: bool = True

    @torch.no_grad()
    def evaluate(
        self, networks: Networks, prior: Prior, index: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        """Return all accuracies, in [0, 1] or NaN where undefined, and the PSNR in dB.

        Relation accuracies are over the images whose every factor is labelled, and of these over
        the rows that the model's coding can judge. A monolithic model cannot judge all rows and
        also reports its coverage. `LOWEST_DENSITY` is the log-density of codes that 99% of the
        images exceed.

        Own pictures add the counts `images_labelled` and `images_labelled_<factor>`; for each
        factor `balanced_accuracy_<factor>` and `majority_accuracy_<factor>`, the share of its most
        frequent value; and `relation_accuracy_<kind>_absent` of the `images_absent` rows whose
        relation leads to a combination of values that no labelled picture shows.

        Args:
            networks: The autoencoder and the relational learner.
            prior: The adaptive priors.
            index: `(n,)` images to evaluate on; the method draws as many prior samples.
            generator: Source of values, relations and prior samples.
        """
        model, learner = networks.autoencoder, networks.relational
        true = self.bank.values[index]
        known = (true >= 0).all(1)
        start = true.clamp(min=0)
        values, relation, of_images = self.coding.evaluation_draw(start, generator)
        latent, dense = [], []
        for part, chosen in _chunks(values, relation):
            components = prior.pad(self.coding.components(part))
            moved = learner(prior.sample(components, generator), chosen)
            latent.append(self.coding.read(prior, moved))
            dense.append(prior.log_prob(moved)[:, : len(self.coding.n_components)].amin(1))
        read, encoded, pixels, errors, densities = [], [], [], [], []
        for rows, chosen in _chunks(index, of_images):
            images = self.bank.batch(rows)
            codes = model.encode(images).means
            read.append(self.coding.read(prior, codes))
            densities.append(prior.log_density(codes, len(self.coding.n_components)))
            errors.append((model.decode(codes).sigmoid() - images).square().mean((1, 2, 3)))
            moved = learner(codes, chosen)
            encoded.append(self.coding.read(prior, moved))
            pixels.append(self.oracle.classify(model.decode(moved).sigmoid()))
        metrics = self._factor_metrics(torch.cat(read).cpu().numpy(), true.cpu().numpy())
        metrics[LOWEST_DENSITY] = float(torch.cat(densities).quantile(0.01))
        squared = torch.cat(errors).clamp(min=SMALLEST_ERROR)
        metrics["reconstruction_psnr"] = float((-10 * squared.log10()).mean())
        every = self.coding.judged(values, relation) & self.mixtures
        metrics |= self._relation_metrics("latent", torch.cat(latent), values, relation, every)
        judged = known & self.coding.judged(start, of_images)
        is_own = self.variant.family == OWN
        absent = judged & self._is_absent(start, of_images) if is_own else None
        for kind, found in (("encoded", encoded), ("pixels", pixels)):
            predicted = torch.cat(found)
            metrics |= self._relation_metrics(kind, predicted, start, of_images, judged)
            if absent is not None:
                accuracy = self._relation_accuracy(predicted, start, of_images, absent)
                metrics[f"relation_accuracy_{kind}_absent"] = accuracy.all
                metrics[ABSENT] = float(absent.sum())
        metrics |= self.coding.coverage(judged)
        if self.density_threshold is not None:
            accepted = torch.cat(dense) >= self.density_threshold
            accuracy = self._relation_accuracy(torch.cat(latent), values, relation, accepted)
            metrics["relation_accuracy_latent_accepted"] = accuracy.all
            metrics["accepted_ratio_latent"] = accuracy.accepted
        return metrics

    def _factor_metrics(self, read: IndexArray, true: IndexArray) -> dict[str, float]:
        joint, single = factor_accuracy(read, true)
        names = self.variant.factor_names
        metrics = {"factor_accuracy": joint}
        metrics |= {f"factor_accuracy_{name}": float(single[k]) for k, name in enumerate(names)}
        if self.variant.family == OWN:
            metrics[LABELLED] = float((true >= 0).all(axis=1).sum())
            for name, found, values in zip(names, read.T, true.T, strict=True):
                metrics[f"balanced_accuracy_{name}"] = balanced_accuracy(found, values)
                metrics[f"majority_accuracy_{name}"] = majority_accuracy(values)
                metrics[f"{LABELLED}_{name}"] = float((values >= 0).sum())
        return metrics

    def _is_absent(self, values: Tensor, relation: Tensor) -> Tensor:
        """Return whether relations lead to a combination that no labelled picture shows, `(n,)`."""
        every = self.bank.values
        shown = every[(every >= 0).all(1)].cpu().numpy()
        targets = self.coding.relations.apply(values, relation).cpu().numpy()
        group = np.unique(np.concatenate([shown, targets]), axis=0, return_inverse=True)[1]
        absent = ~np.isin(group[len(shown) :], group[: len(shown)])
        return torch.from_numpy(absent).to(values.device)

    def _relation_accuracy(
        self, predicted: Tensor, values: Tensor, relation: Tensor, rows: Tensor
    ) -> RelationAccuracy:
        """Return the accuracy of relations applied to values, over the rows of a mask `(n,)`."""
        relations = self.coding.relations
        target = relations.apply(values, relation)
        tensors = (predicted, target, relation, relations.factor, rows)
        return relation_accuracy(*(tensor.cpu().numpy() for tensor in tensors))

    def _relation_metrics(
        self, kind: str, predicted: Tensor, values: Tensor, relation: Tensor, judged: Tensor
    ) -> dict[str, float]:
        accuracy = self._relation_accuracy(predicted, values, relation, judged)
        each = zip(self.variant.relation_names, accuracy.per_relation, strict=True)
        return {
            f"relation_accuracy_{kind}": accuracy.all,
            f"relation_accuracy_{kind}_affected": accuracy.affected,
            **{f"relation_accuracy_{kind}_{name}": float(value) for name, value in each},
        }


def _chunks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(first.split(_CHUNK), second.split(_CHUNK), strict=True)
