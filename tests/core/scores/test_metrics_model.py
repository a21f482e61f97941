"""Disentanglement scores of a trained model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.core.conftest import small_config
from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.metrics.mutual_information import mig
from weakdis_core.scores import disentanglement
from weakdis_core.scores.disentanglement import disentanglement_scores
from weakdis_core.training.trainer import Trainer

DCI_NAMES = ("dci_disentanglement", "dci_completeness", "dci_informativeness")
QUICK_NAMES = ("mig", "sap", "modularity", "infom", "infoe", "infoc")
ROWS = {"disentanglement_train_rows", "disentanglement_test_rows"}
CEILINGS = {f"{name}_ceiling" for name in QUICK_NAMES if name != "modularity"}


@pytest.fixture(scope="module")
def trained(rooms: Prepared, rooms_oracle: Oracle) -> Trainer:
    config = small_config("shapes3d_v2").with_values({"model.latent_size": 2})
    trainer = Trainer(config, rooms, rooms_oracle)
    list(trainer.fit())
    return trainer


@pytest.mark.slow
def test_converted_scores_use_unlabelled_train_images_and_test(trained: Trainer) -> None:
    scores = disentanglement_scores(trained, raw=False)
    assert set(scores) == {f"{n}_converted" for n in (*DCI_NAMES, *QUICK_NAMES)} | ROWS | CEILINGS
    splits = trained.splits
    assert scores["disentanglement_train_rows"] == len(splits.train) - 60
    assert scores["disentanglement_test_rows"] == len(splits.test)
    # The converted codes are the partitions' most likely components.
    unlabelled = np.setdiff1d(splits.train, trained.labelled_index.numpy())
    with torch.no_grad():
        images = trained.bank.batch(torch.from_numpy(unlabelled))
        codes = trained.networks.autoencoder.encode(images).means
    read = trained.prior.classify(codes)[:, :2].numpy()
    expected = mig(read, trained.bank.values.numpy()[unlabelled])
    assert scores["mig_converted"] == pytest.approx(expected, abs=1e-12)
    assert disentanglement_scores(trained, raw=False) == scores


@pytest.mark.slow
def test_raw_scores_include_their_rows_and_partitions(
    trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disentanglement, "RAW_ROWS", 150)
    scores = disentanglement_scores(trained, raw=True)
    raw = {f"{name}_raw" for name in (*DCI_NAMES, *QUICK_NAMES)}
    by_partition = {f"{name}_partition" for name in DCI_NAMES}
    assert raw | by_partition | {"dci_raw_train_rows"} < set(scores)
    assert scores["dci_raw_train_rows"] == 150
    assert scores["dci_informativeness_partition"] == scores["dci_informativeness_raw"]
    # Each of three partitions, nuisance included, has two dimensions.
    assert scores["dci_completeness_partition"] != scores["dci_completeness_raw"]
    assert all(0 <= value <= 1 for name, value in scores.items() if not name.endswith("_rows"))


def test_scores_without_unlabelled_images_are_nan(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    n = len(Trainer(small_config("dsprites_v2"), sprites, sprites_oracle).splits.train)
    config = small_config("dsprites_v2").with_values({"data.labels": n})
    scores = disentanglement_scores(Trainer(config, sprites, sprites_oracle), raw=True)
    assert scores["disentanglement_train_rows"] == scores["dci_raw_train_rows"] == 0
    assert all(math.isnan(v) for name, v in scores.items() if not name.endswith("_rows"))
