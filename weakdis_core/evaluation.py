"""The evaluation protocol (docs/how-it-works.md): a model's accuracies on one split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from weakdis_core.coding import Coding
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.variants import Variant
from weakdis_core.metrics import factor_accuracy, relation_accuracy
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.models.autoencoder import ModularAutoencoder
from weakdis_core.models.relational import RelationalLearner
from weakdis_core.priors import Prior

SMALLEST_ERROR = 1e-12
"""Mean squared error that pictures without any are taken to have: 120 dB."""

_CHUNK = 500


class Evaluator:
    """Measures a model; holds no state of it.

    Args:
        variant: The data set variant.
        bank: Its images.
        oracle: Judge of decoded pictures.
        device: Where everything lives.
        coding: What the components of the model's partitions stand for.
        density_threshold: Log-density from which a relation's outcome is accepted; None reports
            nothing of it.
    """

    def __init__(
        self,
        variant: Variant,
        bank: ImageBank,
        oracle: Oracle,
        device: torch.device,
        coding: Coding,
        density_threshold: float | None = None,
    ) -> None:
        self.density_threshold = density_threshold
        self.variant = variant
        self.bank = bank
        self.oracle = oracle.to(device)
        self.relations = variant.relation_table(str(device))
        self.coding = coding
        self.coded = len(coding.n_components)

    @torch.no_grad()
    def evaluate(
        self,
        model: ModularAutoencoder,
        learner: RelationalLearner,
        prior: Prior,
        index: Tensor,
        generator: torch.Generator,
    ) -> dict[str, float]:
        """All accuracies, each in [0, 1] or NaN where undefined, and `reconstruction_psnr` in dB.

        Relation accuracies are over the rows that the model's coding can judge: all of a modular
        model's. A model that cannot judge all reports its coverage beside them.

        Args:
            model: The autoencoder.
            learner: The relational learner.
            prior: The adaptive priors.
            index: Images to evaluate on, `(n,)`; as many prior samples are drawn.
            generator: Source of values, relations and prior samples.
        """
        true = self.bank.values[index]
        values, relation, of_images = self.coding.evaluation_draw(true, generator)
        latent, dense = [], []
        for part, chosen in self._chunks(values, relation):
            components = prior.padded(self.coding.components(part))
            moved = learner(prior.sample(components, generator), chosen)
            latent.append(self._read(prior, moved))
            dense.append(prior.log_prob(moved)[:, : self.coded].amin(1))
        read, encoded, pixels, errors = [], [], [], []
        for rows, chosen in self._chunks(index, of_images):
            images = self.bank.batch(rows)
            codes = model.encode(images).means
            read.append(self._read(prior, codes))
            errors.append((model.decode(codes).sigmoid() - images).square().mean((1, 2, 3)))
            moved = learner(codes, chosen)
            encoded.append(self._read(prior, moved))
            pixels.append(self.oracle.classify(model.decode(moved).sigmoid()))
        metrics = self._factor_metrics(torch.cat(read), true)
        squared = torch.cat(errors).clamp(min=SMALLEST_ERROR)
        metrics["reconstruction_psnr"] = float((-10 * squared.log10()).mean())
        metrics |= self._relation_metrics("latent", torch.cat(latent), values, relation)
        metrics |= self._relation_metrics("encoded", torch.cat(encoded), true, of_images)
        metrics |= self._relation_metrics("pixels", torch.cat(pixels), true, of_images)
        metrics |= self.coding.coverage(self.coding.judged(true, of_images))
        if self.density_threshold is not None:
            target = self.relations.apply(values, relation)
            accepted = torch.cat(dense) >= self.density_threshold
            metrics |= self._accepted_metrics(torch.cat(latent), target, relation, accepted)
        return metrics

    def _read(self, prior: Prior, codes: Tensor) -> Tensor:
        return self.coding.values(prior.classify(codes)[:, : self.coded])

    @staticmethod
    def _chunks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(first.split(_CHUNK), second.split(_CHUNK), strict=True)

    def _factor_metrics(self, predicted: Tensor, true: Tensor) -> dict[str, float]:
        accuracy = factor_accuracy(_array(predicted), _array(true))
        names = self.variant.factor_names
        each = zip(names, accuracy.per_factor, strict=True)
        metrics = {f"factor_accuracy_{name}": float(value) for name, value in each}
        return {"factor_accuracy": accuracy.joint, **metrics}

    def _relation_metrics(
        self, kind: str, predicted: Tensor, values: Tensor, relation: Tensor
    ) -> dict[str, float]:
        affected = _array(self.relations.factor)
        target = self.relations.apply(values, relation)
        outcome = _array(predicted), _array(target), _array(relation)
        judged = self.coding.judged(values, relation)
        accuracy = relation_accuracy(*outcome, affected, _array(judged))
        each = zip(self.variant.relation_names, accuracy.per_relation, strict=True)
        return {
            f"relation_accuracy_{kind}": accuracy.all,
            f"relation_accuracy_{kind}_affected": accuracy.affected,
            **{f"relation_accuracy_{kind}_{name}": float(value) for name, value in each},
        }

    def _accepted_metrics(
        self, predicted: Tensor, target: Tensor, relation: Tensor, accepted: Tensor
    ) -> dict[str, float]:
        affected = _array(self.relations.factor)
        rows = _array(predicted), _array(target), _array(relation)
        accuracy = relation_accuracy(*rows, affected, _array(accepted))
        return {
            "relation_accuracy_latent_accepted": accuracy.all,
            "accepted_ratio_latent": accuracy.accepted,
        }


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy()
    return array
