"""Manipulations of images: repeated relations, traversals and swaps of partitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.conftest import small_config
from weakdis_core.data.prepared import Prepared
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.manipulation import manipulate, repeat, swap, traverse
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer(rooms: Prepared, rooms_oracle: Oracle) -> Trainer:
    """Return a briefly trained model with fitted priors and a nuisance partition."""
    trainer = Trainer(small_config("shapes3d_v2"), rooms, rooms_oracle)
    list(trainer.fit())
    return trainer


def images_of(trainer: Trainer, n: int) -> torch.Tensor:
    return trainer.bank.batch(trainer.images_of("test", n))


def decoded(trainer: Trainer, codes: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        pictures: np.ndarray = trainer.networks.autoencoder.decode(codes).sigmoid().numpy()
    return pictures


@torch.no_grad()
def codes_of(trainer: Trainer, images: torch.Tensor) -> torch.Tensor:
    return trainer.networks.autoencoder.encode(images).means


def test_repeat_applies_a_relation_to_its_own_result(trainer: Trainer) -> None:
    images, names = images_of(trainer, 3), trainer.variant.relation_names
    once = manipulate(trainer.networks, trainer.variant, images, names)
    often = repeat(trainer.networks, trainer.variant, images, dict.fromkeys(names, 4))
    np.testing.assert_array_equal(often.images, images)
    np.testing.assert_array_equal(often.reconstructions, once.reconstructions)
    for index, name in enumerate(names):
        assert often.after[name].shape == (3, 4, 3, 64, 64)
        np.testing.assert_array_equal(often.after[name][:, 0], once.after[name])
        codes = codes_of(trainer, images)
        with torch.no_grad():
            for _ in range(4):
                codes = trainer.networks.relational(codes, torch.full((3,), index))
        np.testing.assert_allclose(often.after[name][:, -1], decoded(trainer, codes), atol=1e-6)


def test_unknown_relation_is_an_error(trainer: Trainer) -> None:
    with pytest.raises(UserError, match="relation: 'juggle' is not one of shapes3d_v2's"):
        repeat(trainer.networks, trainer.variant, images_of(trainer, 1), {"juggle": 2})


def test_traversal_sets_one_partition_to_the_means_of_its_components(
    trainer: Trainer,
) -> None:
    images, sizes = images_of(trainer, 2), trainer.variant.n_values
    found = traverse(trainer.networks, trainer.prior, images, sizes)
    assert [each.shape[:2] for each in found] == [(2, n) for n in sizes]
    for factor, value in ((0, 9), (1, 2)):
        codes = codes_of(trainer, images)
        codes[:, factor] = trainer.prior.means[factor, value]
        np.testing.assert_allclose(found[factor][:, value], decoded(trainer, codes), atol=1e-6)


def test_swap_takes_one_partition_of_the_other_image(trainer: Trainer) -> None:
    first, second = images_of(trainer, 4).chunk(2)
    found = swap(trainer.networks, first, second)
    partitions = trainer.networks.autoencoder.partitions
    assert found.shape[:2] == (2, partitions)
    for k in range(partitions):
        codes = codes_of(trainer, first)
        codes[:, k] = codes_of(trainer, second)[:, k]
        np.testing.assert_allclose(found[:, k], decoded(trainer, codes), atol=1e-6)
    unchanged = swap(trainer.networks, first, first)
    reconstructions = decoded(trainer, codes_of(trainer, first))
    for k in range(partitions):
        np.testing.assert_allclose(unchanged[:, k], reconstructions, atol=1e-6)
