"""DCI, MIG, SAP, modularity and InfoMEC of a trained model (the paper's Table 2)."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from weakdis_core.data.splits import shuffled
from weakdis_core.data.variant import OWN, UNKNOWN
from weakdis_core.metrics.ceilings import RAW_ROWS, TEST_ROWS, TRAIN_ROWS
from weakdis_core.metrics.mutual_information import infomec, mig
from weakdis_core.metrics.separability import sap
from weakdis_core.metrics.validation import Codes, Factors
from weakdis_core.scores.representation import metric_scores
from weakdis_core.training.trainer import Trainer


def disentanglement_scores(trainer: Trainer, raw: bool) -> dict[str, float]:
    """Compute the disentanglement metrics of a trained model.

    They are fitted on at most 10,000 unlabelled train images with their true factor values, and
    scored on at most 5,000 test images. Models with the same data seed have the same images.

    Args:
        trainer: The trained model.
        raw: Whether to score the latent codes in addition to the factor values read from them.

    Returns:
        Scores by name, NaN where undefined: those of `metric_scores` ending in `_converted`, of
        codes converted to predicted factor values, as in the paper; `mig_ceiling`, `sap_ceiling`
        and those of InfoMEC, of true factor values on the same rows; `disentanglement_train_rows`
        and `disentanglement_test_rows`. `raw` adds those of the latent codes, ending in `_raw` or
        `_partition` (nuisance partitions included), and `dci_raw_train_rows`.
    """
    train, read_train, true_train = _codes(trainer, _train_rows(trainer))
    test, read_test, true_test = _codes(trainer, _fully_labelled(trainer, "test")[:TEST_ROWS])
    threads = trainer.config.runtime.threads
    converted = metric_scores((read_train, true_train, read_test, true_test), threads=threads)
    scores = {
        "disentanglement_train_rows": float(len(true_train)),
        "disentanglement_test_rows": float(len(true_test)),
        "mig_ceiling": mig(true_train, true_train),
        "sap_ceiling": sap(true_train, true_train, true_test, true_test),
        **{f"{name}_ceiling": best for name, best in infomec(true_train, true_train).items()},
        **{f"{name}_converted": value for name, value in converted.items()},
    }
    if raw:
        partition = np.repeat(np.arange(train.shape[1]), train.shape[2])
        flat_train, flat_test = (codes.reshape(-1, len(partition)) for codes in (train, test))
        codes = flat_train, true_train, flat_test, true_test
        found = metric_scores(codes, RAW_ROWS, partition, threads)
        scores["dci_raw_train_rows"] = float(min(len(train), RAW_ROWS))
        for name, value in found.items():
            scores[name if name.endswith("_partition") else f"{name}_raw"] = value
    return scores


def _fully_labelled(trainer: Trainer, name: Literal["test"]) -> Tensor:
    """Return the images of a split whose every factor is labelled, in random but fixed order."""
    index = trainer.images_of(name)
    return index[(trainer.bank.values[index] != UNKNOWN).all(1)]


def _train_rows(trainer: Trainer) -> Tensor:
    """Return train images outside the labelled subset, in random but fixed order.

    The labels of own pictures are few: these are all whose every factor is labelled.
    """
    splits, labelled = trainer.splits, trainer.labelled_index.cpu().numpy()
    index = np.setdiff1d(splits.train, labelled)
    if trainer.variant.family == OWN:
        values = trainer.bank.values.cpu().numpy()[splits.train]
        index = splits.train[(values != UNKNOWN).all(axis=1)]
    order = shuffled(index, trainer.config.data.data_seed, "disentanglement")
    return torch.from_numpy(order[:TRAIN_ROWS]).to(trainer.device)


@torch.no_grad()
def _codes(trainer: Trainer, index: Tensor) -> tuple[Codes, Factors, Factors]:
    """Return latent codes of images, the factor values read from them, and the true ones."""
    codes, true = trainer.codes_of(index), trainer.bank.values[index]
    read = trainer.coding.read(trainer.prior, codes)
    measured = trainer.networks.autoencoder.measured(codes)
    return measured.cpu().numpy(), read.cpu().numpy(), true.cpu().numpy()
