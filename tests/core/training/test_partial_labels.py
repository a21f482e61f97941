"""Training and scores on own pictures of 32 pixels, most of whose labels are missing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.core.conftest import bars_config
from tests.core.training.test_trainer import weights
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.metrics.accuracy import balanced_accuracy, majority_accuracy
from weakdis_core.priors.fitting import fit_prior
from weakdis_core.scores.counts import count_of
from weakdis_core.scores.scoring import score_on_test
from weakdis_core.seeding import torch_generator
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer(bars: Prepared, bars_oracle: Oracle) -> Trainer:
    trainer = Trainer(bars_config(), bars, bars_oracle)
    for report in trainer.fit():
        terms = {name: value for name, value in report.metrics.items() if "train/" in name}
        assert all(math.isfinite(value) for value in terms.values())
    assert {"train/label", "train/kl", "train/sleep"} <= set(terms)
    return trainer


def test_all_train_labels_train_and_unlabelled_images_train_the_autoencoder(
    trainer: Trainer, bars: Prepared
) -> None:
    labelled = (bars.factors != UNKNOWN).any(1)
    train = trainer.splits.train
    assert sorted(trainer.labelled_index.tolist()) == train[labelled[train]].tolist()
    assert (~labelled[train]).sum() == (~labelled).sum()
    # The prior is that of the known values alone.
    codes, values = trainer.labelled.codes, trainer.labelled.components
    rows = values[:, 0] >= 0
    loss = trainer.config.loss
    alone = fit_prior(codes[rows][:, :1], values[rows][:, :1], torch.tensor([3]), 4, loss)
    torch.testing.assert_close(trainer.labelled.fit().means[:1], alone.means)


def test_images_are_transformed_except_in_the_ending(bars: Prepared, bars_oracle: Oracle) -> None:
    changes = {"training.transform": True, "loss.consistency_weight": 1.0}
    config = bars_config(**changes, **{"training.ending": 0.5})
    variant = replace(bars.variant, transformations=("shift",))
    trainer = Trainer(config, replace(bars, variant=variant), bars_oracle)
    n = config.training.batch_size
    batch = trainer.next_batch()
    assert not torch.equal(batch.images[:n], batch.clean)
    trainer.step = config.training.ending_step
    batch = trainer.next_batch()
    assert torch.equal(batch.images[:n], batch.clean)
    trainer.step = 0
    terms = set().union(*(report.metrics for report in trainer.fit()))
    assert "train/consistency" in terms


SIZES: dict[str, dict[str, object]] = {
    "modular": {},
    "monolithic": {},
    "few_labels": {"model.latent_size": 1},
    "zerodim": {"model.latent_size": 4, "model.nuisance_partitions": 2, "training.warmup": 0.4},
}
"""Kinds of models, with the settings that they need."""


@pytest.mark.parametrize("kind", SIZES)
def test_training_reads_labels_of_the_asked_subset_only(
    kind: str, bars: Prepared, bars_oracle: Oracle
) -> None:
    changes = {"data.labels": 60, "training.steps": 12, "model.kind": kind}
    config = bars_config(**changes, **SIZES[kind])
    clean, poisoned = (Trainer(config, bars, bars_oracle) for _ in range(2))
    assert len(clean.labelled_index) == 60
    if kind == "monolithic":
        assert (poisoned.bank.values[poisoned.labelled_index] != UNKNOWN).all()
    others = torch.ones(len(bars.images), dtype=torch.bool)
    others[poisoned.labelled_index] = False
    poisoned.bank.values[others] = 0
    for each in (clean, poisoned):
        list(each.fit())
    assert all(map(torch.equal, weights(clean), weights(poisoned)))
    assert torch.equal(clean.prior.means, poisoned.prior.means)
    accuracy = clean.evaluate("test")["relation_accuracy_pixels"]
    assert 0 <= accuracy <= 1


def test_scores_are_over_the_images_that_have_the_labels(
    trainer: Trainer, bars: Prepared, bars_oracle: Oracle
) -> None:
    scores = score_on_test(trainer, bars_oracle, bars, "converted")
    test = trainer.images_of("test").numpy()
    true = bars.factors[test]
    full = (true != UNKNOWN).all(1)
    assert 0 < full.sum() < len(test)
    read = trainer.coding.read(trainer.prior, trainer.codes_of(torch.from_numpy(test))).numpy()
    expected = {"factor_accuracy": (read == true)[full].all(1).mean()}
    for k, name in enumerate(("colour", "place")):
        known = true[:, k] != UNKNOWN
        assert count_of(f"factor_accuracy_{name}", scores) == known.sum()
        assert count_of(f"balanced_accuracy_{name}", scores) == known.sum()
        expected[f"factor_accuracy_{name}"] = (read == true)[known, k].mean()
        expected[f"balanced_accuracy_{name}"] = balanced_accuracy(read[:, k], true[:, k])
        expected[f"majority_accuracy_{name}"] = majority_accuracy(true[:, k])
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value)
    for name in ("factor_accuracy", "relation_accuracy_pixels", "relation_accuracy_encoded"):
        assert count_of(name, scores) == scores["images_labelled"] == full.sum()
    for name in ("oracle_accuracy", "identifiability_ceiling", "sap_converted"):
        assert count_of(name, scores) == full.sum()
    assert count_of("reconstruction_psnr", scores) == len(test)
    # There is no true picture of other values.
    assert math.isnan(scores["swap_psnr"])
    assert count_of("swap_psnr", scores) == 0


def test_relations_into_absent_combinations_are_scored_apart(
    trainer: Trainer, bars: Prepared
) -> None:
    scores = trainer.evaluate("test")
    test = trainer.images_of("test")
    true = torch.from_numpy(bars.factors)[test]
    generator = torch_generator(trainer.config.seed, "evaluation/test")
    relation = trainer.coding.relations.sample(len(test), generator)
    targets = trainer.coding.relations.apply(true.clamp(min=0), relation).tolist()
    full = bars.factors[(bars.factors != UNKNOWN).all(1)]
    shown = set(map(tuple, full.tolist()))
    assert (2, 3) not in shown
    absent = [
        tuple(after) not in shown and min(values) >= 0
        for values, after in zip(true.tolist(), targets, strict=True)
    ]
    assert 0 < sum(absent) == scores["images_absent"]
    assert count_of("relation_accuracy_encoded_absent", scores) == sum(absent)
    codes = trainer.codes_of(test)
    moved = trainer.networks.relational(codes, relation)
    read = trainer.coding.read(trainer.prior, moved).tolist()
    right = np.array([got == after for got, after in zip(read, targets, strict=True)])
    assert scores["relation_accuracy_encoded_absent"] == right[absent].mean()


def test_counts_of_undefined_scores_are_zero() -> None:
    scores = {"images": 40.0, "images_labelled": 0.0, "images_labelled_place": 0.0}
    scores |= {"images_labelled_hat_absent": 7.0, "images_absent": 0.0}
    assert count_of("factor_accuracy", scores) == 0
    assert count_of("balanced_accuracy_place", scores) == 0
    assert count_of("relation_accuracy_pixels", scores) == 0
    assert count_of("relation_accuracy_pixels_absent", scores) == 0
    assert count_of("factor_accuracy_hat_absent", scores) == 7
    assert count_of("reconstruction_psnr", scores) == 40
    # The shipped variants have every label.
    assert count_of("factor_accuracy_place", {"images": 40.0}) == 40
