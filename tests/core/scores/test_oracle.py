"""The oracle and its cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.core.conftest import harmed
from weakdis_core.checkpoint import read_checkpoint, write_checkpoint
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import split, splits_of
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.evaluation import oracle
from weakdis_core.evaluation.oracle import Oracle, train_oracle
from weakdis_core.evaluation.oracle_cache import oracle_path, prepare_oracle
from weakdis_core.seeding import torch_generator


@pytest.mark.slow
def test_oracle_is_trained_once_for_each_recipe(
    sprites: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def prepare(steps: int) -> float:
        monkeypatch.setitem(oracle._STEPS, "dsprites", steps)
        data = DataSettings(variant="dsprites_v2", max_images=1000, source="rendered")
        return prepare_oracle(
            sprites, data, progress=lambda done, _: trained.append(done)
        ).clean_accuracy

    first = prepare(40)
    assert trained == [20, 40]
    assert prepare(40) == first
    assert trained == [20, 40], "the cached oracle was not used"
    prepare(20)
    assert trained == [20, 40, 20], "an oracle of another recipe was used"
    folder: Path = sprites.path.parent.parent / "oracles"
    assert len(list(folder.glob("*.pt"))) == 2


def test_the_oracle_does_not_depend_on_the_threads_of_the_process(rooms: Prepared) -> None:
    splits, threads = split(rooms.digests, 0), torch.get_num_threads()
    found = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            trained = train_oracle(rooms, splits, steps=2)
            found.append(list(trained.network.state_dict().values()))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *found))


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["other weights", "missing weights", "another layout"])
def test_changed_stored_oracle_is_trained_again(
    harm: str, sprites: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(oracle._STEPS, "dsprites", 21)
    data = DataSettings(variant="dsprites_v2", max_images=1000, source="rendered")
    first = prepare_oracle(sprites, data)
    path = oracle_path(sprites, data.data_seed)
    state = read_checkpoint(path)
    name, weight = list(state["network"].items())[-2]
    if harm == "other weights":
        state["network"][name] = -weight
    elif harm == "missing weights":
        del state["network"][name]
    else:
        state["network"][name] = weight[:, 1:]
    write_checkpoint(state, path)
    trained: list[int] = []
    again = prepare_oracle(sprites, data, progress=lambda done, _: trained.append(done))
    assert trained == [20]
    assert again.accuracies() == first.accuracies()


def test_oracle_can_be_copied_to_another_device(sprites_oracle: Oracle) -> None:
    there = sprites_oracle.to(torch.device("meta"))
    devices = [next(each.network.parameters()).device.type for each in (there, sprites_oracle)]
    assert devices == ["meta", "cpu"]


def test_uncertain_values_are_not_read_confidently() -> None:
    # Probabilities of 3 and 2 values: .9, .05, .05 and .7, .3; then .5, .25, .25 and .1, .9.
    probabilities = torch.tensor([[0.9, 0.05, 0.05, 0.7, 0.3], [0.5, 0.25, 0.25, 0.1, 0.9]])
    read = Oracle(torch.nn.Identity(), (3, 2)).read_confidently(probabilities.log())
    assert read.tolist() == [[0, UNKNOWN], [UNKNOWN, 1]]


@pytest.mark.slow
def test_an_oracle_learns_missing_labels_from_another(bars: Prepared) -> None:
    splits = splits_of(bars, 0)
    teacher = train_oracle(bars, splits, steps=100)
    assert teacher.validation_accuracy > 0.9
    rows = splits.train[(bars.factors[splits.train] == UNKNOWN).all(1)]
    unlabelled, bank = torch.from_numpy(rows), ImageBank(bars, torch.device("cpu"))
    network, generator = oracle.build_network(bars.variant), torch_generator(0, "test")
    oracle._train_round(
        network, bars.variant, bank, unlabelled, generator, steps=60, progress=None, teacher=teacher
    )
    images = bank.batch(unlabelled)
    student = Oracle(network, bars.variant.n_values)
    assert (student.classify(images) == teacher.classify(images)).float().mean() > 0.9


@pytest.mark.slow
def test_oracle_is_trained_on_the_train_split_only(sprites: Prepared) -> None:
    splits = split(sprites.digests, 0)
    held_out = np.concatenate([splits.validation, splits.test])
    clean = train_oracle(sprites, splits, steps=30)
    other = train_oracle(harmed(sprites, held_out), splits, steps=30)
    assert all(map(torch.equal, clean.network.parameters(), other.network.parameters()))
    assert clean.clean_accuracy > other.clean_accuracy


@pytest.mark.slow
def test_oracle_reads_softened_images(sprites: Prepared, sprites_oracle: Oracle) -> None:
    trained = train_oracle(sprites, split(sprites.digests, 0), steps=100)
    assert trained.softened_accuracy > 0.9
    # The briefly trained oracle reads blurred and clean images differently.
    test = torch.from_numpy(split(sprites.digests, 0).test)
    bank = ImageBank(sprites, torch.device("cpu"))
    images, true = bank.batch(test), bank.values[test]
    blurred = sprites_oracle.classify(oracle.blur(images, oracle._SOFT_SIGMA))
    right = float((blurred == true).all(1).double().mean())
    assert sprites_oracle.softened_accuracy == pytest.approx(right)
    assert not torch.equal(blurred, sprites_oracle.classify(images))


def test_unknown_values_add_nothing_to_the_oracles_loss() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    known = oracle._cross_entropy(logits[:2], torch.tensor([0, 2]))
    with_unknown = oracle._cross_entropy(logits, torch.tensor([0, 2, -1, -1]))
    torch.testing.assert_close(with_unknown, known)
    assert oracle._cross_entropy(logits, torch.full((4,), -1)) == 0
