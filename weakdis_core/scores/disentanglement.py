"""DCI, MIG, SAP and modularity of a trained model (the paper's Table 2)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.data.splits import shuffled
from weakdis_core.metrics.ceilings import RAW_ROWS, TEST_ROWS, TRAIN_ROWS
from weakdis_core.metrics.dci import DCI, dci, importances
from weakdis_core.metrics.mutual_information import mig, modularity
from weakdis_core.metrics.separability import sap
from weakdis_core.training.trainer import Trainer


@dataclass(frozen=True, eq=False)
class _Rows:
    """Images of one split as the metrics see them.

    Attributes:
        raw: Latent codes, `(n, partitions * latent)`.
        converted: Factor values read from them, `(n, factors)`.
        factors: True factor values, `(n, factors)`.
    """

    raw: NDArray[Any]
    converted: NDArray[np.int64]
    factors: NDArray[np.int64]


def disentanglement_scores(
    trainer: Trainer, raw: bool, raw_rows: int = RAW_ROWS, n_jobs: int = 1
) -> dict[str, float]:
    """Disentanglement metrics of a trained model.

    Fitted on images of train that training saw without labels, here with all their true factor
    values, and scored on test: 10,000 and 5,000 rows at most, drawn without replacement, the same
    for every model with the same data seed.

    Args:
        trainer: The trained model.
        raw: Whether to score latent codes too, not only the factor values read from them.
        raw_rows: Train rows, at most, of DCI on latent codes, whose cost grows with them; the other
            metrics are quick and take all rows.
        n_jobs: Threads of the gradient boosting.

    Returns:
        By name: `dci_disentanglement_converted`, `dci_completeness_converted`,
        `dci_informativeness_converted`, `mig_converted`, `sap_converted` and
        `modularity_converted`, of codes converted to predicted factor values (the paper's way);
        `mig_ceiling` and `sap_ceiling`, what perfect codes score on these very rows;
        `disentanglement_train_rows` and `disentanglement_test_rows`. With `raw` also each score
        ending in `_raw`, of the latent codes; the three of DCI ending in `_partition`, with
        importances summed within each latent partition, nuisance partitions among them; and
        `dci_raw_train_rows`, of both. Undefined scores are NaN.
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
        some = slice(raw_rows)
        fitted = importances(
            train.raw[some], train.factors[some], test.raw, test.factors, n_jobs=n_jobs
        )
        scores |= {
            "dci_raw_train_rows": float(len(train.raw[some])),
            **_dci_scores(fitted.dci(), "raw"),
            **_dci_scores(fitted.dci(partition), "partition"),
            **_quick_scores(train, test, "raw"),
        }
    return scores


def _unlabelled_train(trainer: Trainer) -> Tensor:
    """Train images outside the labelled subset, in an order of their own."""
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
    """The metrics that cost seconds even on raw codes."""
    fitted, scored = getattr(train, codes), getattr(test, codes)
    return {
        f"mig_{codes}": mig(fitted, train.factors),
        f"sap_{codes}": sap(fitted, train.factors, scored, test.factors),
        f"modularity_{codes}": modularity(fitted, train.factors),
    }
