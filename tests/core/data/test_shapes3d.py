from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.data import arrays
from weakdis_core.data.renderers import shapes3d, shapes3d_bodies, shapes3d_scene
from weakdis_core.data.source import RENDERERS
from weakdis_core.errors import UserError

N_IMAGES = 480_000
REFERENCE = Path(__file__).parents[2] / "fixtures/reference/shapes3d.npz"
RENDERED = REFERENCE.with_name("shapes3d_rendered.npz")
SKY_COLOUR = (153, 226, 249)


def some_indices(n: int, seed: int = 0) -> NDArray[np.int64]:
    """Return random indices of few geometries, since each geometry takes 15 ms."""
    generator = np.random.default_rng(seed)
    indices = np.stack([generator.integers(0, size, n) for size in shapes3d.GRID], axis=1)
    indices[:, 3:] = indices[np.arange(n) % 8, 3:]
    return indices


def test_the_grid_has_all_images() -> None:
    assert np.prod(shapes3d.GRID) == N_IMAGES


def test_rendering_matches_official_frames() -> None:
    with np.load(REFERENCE) as reference:
        indices, genuine = reference["indices"], reference["images"].astype(float)
    error = np.abs(shapes3d.render(indices) - genuine).mean((1, 2, 3))
    assert error.mean() < 1.65
    assert error.max() < 2.0


def test_pixels_match_the_renderer_version() -> None:
    """Another processor rounds 3 values in a million to the next grey level; a change moves more.

    A new version belongs to new pixels: `np.savez_compressed(RENDERED, indices=..., images=...)`.
    """
    with np.load(RENDERED) as rendered:
        indices, images = rendered["indices"], rendered["images"].astype(int)
    difference = np.abs(shapes3d.render(indices) - images)
    assert RENDERERS["shapes3d"] == "7d385ad532bf7b22"
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 8


def test_images_are_repeatable_and_independent_of_order() -> None:
    indices = some_indices(300)
    images = shapes3d.render(indices)
    assert images.shape == (300, 3, 64, 64)
    assert images.dtype == np.uint8
    order = np.random.default_rng(1).permutation(300)
    assert np.array_equal(images[order], shapes3d.render(indices[order]))
    shapes3d._tables.cache_clear()
    shapes3d_scene._room.cache_clear()
    assert np.array_equal(images, shapes3d.render(indices))


def test_each_hue_changes_its_own_surface() -> None:
    base = np.array([0, 3, 6, 4, 0, 7])
    images = shapes3d.render(np.stack([base, *(base + step for step in np.eye(6, dtype=int)[:3])]))
    floor, wall, body = images[:, :, 60, 5], images[:, :, 30, 5], images[:, :, 48, 32]
    for surface, changed in ((floor, 1), (wall, 2), (body, 3)):
        for other in (1, 2, 3):
            assert np.array_equal(surface[0], surface[other]) == (other != changed)
    assert (images[:, :, 2, 32] == SKY_COLOUR).all()
    assert (floor[0] == (255, 0, 0)).all()


def test_hues_are_distinct() -> None:
    indices = np.zeros((10, 6), np.int64)
    indices[:, 2] = np.arange(10)
    assert len(np.unique(shapes3d.render(indices)[:, :, 50, 32], axis=0)) == 10


def test_bodies_grow_and_are_mirrored_by_orientation() -> None:
    """Compare outlines of the body, because the light is not symmetric."""
    outlines = [
        np.argwhere(shapes3d_scene.layers(scale, 0, turn)[shapes3d_scene.BODY, 5] > 0.3)
        for scale, turn in ((0, 7), (4, 7), (7, 7), (3, 2), (3, 12))
    ]
    areas = [len(outline) for outline in outlines]
    assert areas[0] < areas[1] < areas[2]
    left, right = ({tuple(pixel) for pixel in outline.tolist()} for outline in outlines[3:])
    assert len(left ^ {(row, 63 - column) for row, column in right}) <= 3


@pytest.mark.parametrize(("scale", "shape", "turn"), [(0, 0, 0), (7, 3, 14), (3, 2, 7), (5, 1, 3)])
def test_casting_only_the_changed_window_gives_the_same_layers(
    scale: int, shape: int, turn: int
) -> None:
    body = shapes3d_bodies.body_of(shape, scale)
    whole = shapes3d_scene._cast(turn, slice(0, 64), slice(0, 64), body)
    part = shapes3d_scene.layers(scale, shape, turn)
    np.testing.assert_allclose(part, whole, atol=1e-5)


def test_layers_are_shares_of_each_pixel() -> None:
    layers = shapes3d_scene.layers(7, 3, 14)
    assert layers.shape == (4, 6, 64, 64)
    assert layers.min() > -0.2
    assert layers.max() < 1.3  # the layers' integer type holds 2
    assert (layers[shapes3d_scene.FLOOR, 0] == 0).all()


def test_progress_adds_up() -> None:
    seen: list[int] = []
    shapes3d.render(some_indices(100), seen.append)
    assert sum(seen) == 100


def test_no_images() -> None:
    assert shapes3d.render(np.empty((0, 6), np.int64)).shape == (0, 3, 64, 64)


def test_indices_outside_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 0, 10, 0, 0, 0\] is outside the grid"):
        shapes3d.render(np.array([[0, 0, 9, 0, 0, 0], [0, 0, 10, 0, 0, 0]]))


def official(path: Path, indices: NDArray[np.int64]) -> Path:
    """Write a file of the official layout with only the chunks of these images."""
    rows = np.ravel_multi_index(tuple(indices.T), shapes3d.GRID)
    with h5py.File(path, "w") as file:
        array = file.create_dataset(
            "images", (N_IMAGES, 64, 64, 3), np.uint8, chunks=(50, 64, 64, 3), compression="lzf"
        )
        for row, image in zip(rows, shapes3d.render(indices), strict=True):
            array[row] = image.transpose(1, 2, 0)
    return path


def test_official_images_are_channels_first_in_the_requested_order(tmp_path: Path) -> None:
    indices = some_indices(8)
    path = official(tmp_path / "3dshapes.h5", indices)
    asked = np.array([5, 1, 1, 7])
    seen: list[int] = []
    found = arrays.read(path, shapes3d.LAYOUT, indices[asked], seen.append)
    assert np.array_equal(found, shapes3d.render(indices[asked]))
    assert sum(seen) == 4


def test_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "3dshapes.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (N_IMAGES, 3, 64, 64), np.uint8, chunks=(1, 3, 64, 64))
    with pytest.raises(UserError, match=r"expected \(480000, 64, 64, 3\) of uint8"):
        arrays.read(path, shapes3d.LAYOUT, np.zeros((1, 6), np.int64))
