"""Random changes of pictures that keep their labels."""

from __future__ import annotations

import pytest
import torch

from weakdis_core.config.description import Transformation
from weakdis_core.data.transformations import transform


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def spots() -> torch.Tensor:
    """Return pictures with a white square in the left half."""
    images = torch.zeros(32, 3, 64, 64)
    images[:, :, 28:36, 16:24] = 1.0
    return images


def centres(images: torch.Tensor) -> torch.Tensor:
    """Return the squares' (x, y), `(n, 2)`."""
    mass, steps = images.mean(1), torch.arange(64) + 0.5
    x, y = mass.sum(1) @ steps, mass.sum(2) @ steps
    return torch.stack([x, y], 1) / mass.sum((1, 2)).unsqueeze(1)


def test_without_names_nothing_changes_and_nothing_is_drawn() -> None:
    source, images = generator(), spots()
    assert transform(images, (), source) is images
    assert torch.equal(source.get_state(), generator().get_state())


@pytest.mark.parametrize("name", ["shift", "zoom", "flip", "noise"])
def test_changes_depend_on_the_generator_only(name: Transformation) -> None:
    images = spots()
    changed = transform(images, (name,), generator())
    assert torch.equal(changed, transform(images, (name,), generator()))
    assert not torch.equal(changed, images)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_shifts_move_by_up_to_four_pixels() -> None:
    moved = (centres(transform(spots(), ("shift",), generator())) - centres(spots())).abs()
    assert 3 < moved.max() <= 4.01


def test_shifts_alone_are_whole_pixels() -> None:
    binary = (spots() > 0.5).float()
    moved = transform(binary, ("shift",), generator())
    torch.testing.assert_close(moved, moved.round(), atol=1e-4, rtol=0)
    distance = centres(moved) - centres(binary)
    torch.testing.assert_close(distance, distance.round(), atol=1e-3, rtol=0)
    assert len(distance.round().unique()) > 5


def test_zoom_changes_the_size_by_up_to_a_tenth() -> None:
    area = transform(spots(), ("zoom",), generator()).mean((1, 2, 3)) / spots().mean((1, 2, 3))
    assert area.min() > 0.9**2.2
    assert area.max() < 0.9**-2.2


def test_flip_mirrors_some_pictures_and_keeps_the_others() -> None:
    x = centres(transform(spots(), ("flip",), generator()))[:, 0]
    assert {round(each) for each in x.tolist()} == {20, 44}
