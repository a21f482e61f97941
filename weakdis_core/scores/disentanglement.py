"""DCI, MIG, SAP and modularity of a trained model (the paper's Table 2)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.data.splits import shuffled
from weakdis_core.metrics.ceilings import RAW_ROWS, TEST_ROWS, TRAIN_ROWS
from weakdis_core.metrics.dci import DCI, dci, fit_importances
from weakdis_core.metrics.mutual_information import mig, modularity
from weakdis_core.metrics.separability import sap
from weakdis_core.training.trainer import Trainer


@dataclass(frozen=True, eq=False)
class _Rows:
    """Latent codes, factor values read from them, and true factor values of images."""

    raw: NDArray[Any]
    converted: NDArray[np.int64]
    factors: NDArray[np.int64]


def disentanglement_scores(
    trainer: Trainer, raw: bool, raw_rows: int = RAW_ROWS, n_jobs: int = 1
) -> dict[str, float]:
    """Compute the disentanglement metrics of a trained model.

    They are fitted on at most 10,000 unlabelled train images with their true factor values, and
    scored on at most 5,000 test images. Models with the same data seed have the same images.

    Args:
        trainer: The trained model.
        raw: Whether to score the latent codes in addition to the factor values read from them.
        raw_rows: Train rows, at most, of DCI on latent codes, whose cost grows with them.
        n_jobs: Threads of the gradient boosting.

    Returns:
        Scores by name, NaN where undefined: `dci_disentanglement`, `dci_completeness`,
        `dci_informativeness`, `mig`, `sap` and `modularity`, ending in `_converted`, of codes
        converted to predicted factor values, as in the paper; `mig_ceiling` and `sap_ceiling` of
        true factor values on the same rows; `disentanglement_train_rows` and
        `disentanglement_test_rows`. `raw` adds all six ending in `_raw`, of the latent codes; DCI
        ending in `_partition`, with importances summed within each partition, nuisance partitions
        included; and `dci_raw_train_rows`.
    """
    train = _rows(trainer, _unlabelled_train(trainer))
    test = _rows(trainer, trainer.images_of("test", TEST_ROWS))
    converted = dci(train.converted, train.factors, test.converted, test.factors, n_jobs=n_jobs)
    scores = {
        "disentanglement_train_rows": float(len(train.factors)),
        "disentanglement_test_rows": float(len(test.factors)),
        "mig_ceiling": mig(train.factors, train.factors),
        "sap_ceiling": sap(train.factors, train.factors, test.factors, test.factors),
        **_dci_scores(converted, "converted"),
        **_quick_scores(train, test, "converted"),
    }
    if raw:
        model = trainer.networks.autoencoder
        partition = np.repeat(np.arange(model.partitions), model.latent)
        codes, factors = train.raw[:raw_rows], train.factors[:raw_rows]
        fitted = fit_importances(codes, factors, test.raw, test.factors, n_jobs)
        scores |= {
            "dci_raw_train_rows": float(len(codes)),
            **_dci_scores(fitted.dci(), "raw"),
            **_dci_scores(fitted.dci(partition), "partition"),
            **_quick_scores(train, test, "raw"),
        }
    return scores


def _unlabelled_train(trainer: Trainer) -> Tensor:
    """Return train images outside the labelled subset, in random but fixed order."""
    splits, labelled = trainer.splits, trainer.labelled_index.cpu().numpy()
    index = np.setdiff1d(splits.train, labelled)
    order = shuffled(index, trainer.config.data.data_seed, "disentanglement")
    return torch.from_numpy(order[:TRAIN_ROWS]).to(trainer.device)


def _rows(trainer: Trainer, index: Tensor) -> _Rows:
    codes, true = trainer.codes_of(index), trainer.bank.values[index]
    values = trainer.coding.read(trainer.prior, codes)
    return _Rows(codes.flatten(1).cpu().numpy(), values.cpu().numpy(), true.cpu().numpy())


def _dci_scores(scores: DCI, ending: str) -> dict[str, float]:
    return {f"dci_{name}_{ending}": value for name, value in vars(scores).items()}


def _quick_scores(
    train: _Rows, test: _Rows, codes: Literal["raw", "converted"]
) -> dict[str, float]:
    """Compute the metrics that take seconds."""
    fitted, scored = getattr(train, codes), getattr(test, codes)
    return {
        f"mig_{codes}": mig(fitted, train.factors),
        f"sap_{codes}": sap(fitted, train.factors, scored, test.factors),
        f"modularity_{codes}": modularity(fitted, train.factors),
    }
