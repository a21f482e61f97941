from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.data import arrays
from weakdis_core.data.renderers import dsprites
from weakdis_core.data.source import RENDERERS
from weakdis_core.errors import UserError

N_IMAGES = 737_280
REFERENCE = Path(__file__).parents[2] / "fixtures/reference/dsprites.npz"


def some_indices(n: int, seed: int = 0) -> NDArray[np.int64]:
    generator = np.random.default_rng(seed)
    return np.stack([generator.integers(0, size, n) for size in dsprites.GRID], axis=1)


def test_the_grid_has_all_images() -> None:
    assert np.prod(dsprites.GRID) == N_IMAGES


@pytest.mark.parametrize(
    ("shape", "least"), [(0, 0.999), (1, 0.997), (2, 0.996)], ids=["square", "ellipse", "heart"]
)
def test_rendering_matches_official_frames(shape: int, least: float) -> None:
    with np.load(REFERENCE) as reference:
        chosen = reference["indices"][:, 0] == shape
        indices, genuine = reference["indices"][chosen], reference["images"][chosen] > 0
    drawn = dsprites.render(indices)[:, 0] > 0
    overlap = (drawn & genuine).sum((1, 2)) / (drawn | genuine).sum((1, 2))
    assert overlap.mean() > least
    assert overlap.min() > 0.98


def test_images_are_binary_and_repeatable() -> None:
    indices = some_indices(1000)
    images = dsprites.render(indices)
    assert images.shape == (1000, 1, 64, 64)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) == {0, 1}
    assert np.array_equal(images, dsprites.render(indices))
    assert np.array_equal(images[::-1][:7], dsprites.render(indices[::-1][:7]))


def test_pixels_match_the_renderer_version() -> None:
    """No pixel centre is within 1e-6 of an outline, so all processors give the same pixels."""
    indices = np.stack(np.unravel_index(np.arange(0, N_IMAGES, 367), dsprites.GRID), axis=1)
    digest = hashlib.sha256(dsprites.render(indices).tobytes()).hexdigest()[:16]
    assert (RENDERERS["dsprites"], digest) == ("aef3c4092d90b496", "13feeda224f79920")


def test_no_sprite_is_cut_by_its_window_or_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = np.array(list(np.ndindex(3, 1, 40, 2, 2))) * [1, 1, 1, 31, 31] + [0, 5, 0, 0, 0]
    images = dsprites.render(largest)
    border = np.ones((64, 64), bool)
    border[1:-1, 1:-1] = False
    assert not images[:, 0, border].any()
    monkeypatch.setattr(dsprites, "_WINDOW", 32)
    monkeypatch.setattr(dsprites, "_WINDOW_START", 15)
    assert np.array_equal(images, dsprites.render(largest))


def test_first_and_last_orientation_are_one_image() -> None:
    indices = some_indices(200)
    first, last = indices.copy(), indices.copy()
    first[:, 2], last[:, 2] = 0, 39
    assert np.array_equal(dsprites.render(first), dsprites.render(last))


def test_positions_move_right_and_down_and_scales_grow() -> None:
    indices = np.array([[1, 2, 0, 3, 4], [1, 2, 0, 20, 4], [1, 2, 0, 3, 25], [1, 4, 0, 3, 4]])
    images = dsprites.render(indices)[:, 0].astype(float)
    area = images.sum((1, 2))
    x = (images * np.arange(64)).sum((1, 2)) / area
    y = (images * np.arange(64)[:, None]).sum((1, 2)) / area
    np.testing.assert_allclose(x[1] - x[0], 17 * 32 / 31, atol=0.2)
    np.testing.assert_allclose(y[2] - y[0], 21 * 32 / 31, atol=0.2)
    np.testing.assert_allclose([x[2], y[1], x[3]], [x[0], y[0], x[0]], atol=0.2)
    np.testing.assert_allclose(area[3] / area[0], (0.9 / 0.7) ** 2, rtol=0.05)


def test_progress_adds_up() -> None:
    seen: list[int] = []
    dsprites.render(some_indices(700), seen.append)
    assert len(seen) > 1
    assert sum(seen) == 700


def test_no_images() -> None:
    assert dsprites.render(np.empty((0, 5), np.int64)).shape == (0, 1, 64, 64)


@pytest.mark.parametrize(
    "indices", [np.array([[0, 0, 0, 0, 32]]), np.array([[0, -1, 0, 0, 0]]), np.zeros((2, 4), int),
                np.zeros((2, 5))],
)  # fmt: skip
def test_indices_outside_the_grid_are_refused(indices: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="indices"):
        dsprites.render(indices)


def official_hdf5(path: Path, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> Path:
    """Write a file of the official layout with only the chunks of these images."""
    with h5py.File(path, "w") as file:
        array = file.create_dataset(
            "imgs", (N_IMAGES, 64, 64), np.uint8, chunks=(512, 64, 64), compression="gzip"
        )
        for row, image in zip(rows, images, strict=True):
            array[row] = image
    return path


def test_official_images_are_in_the_requested_order(tmp_path: Path) -> None:
    indices = some_indices(12)
    rows = np.ravel_multi_index(tuple(indices.T), dsprites.GRID)
    images = dsprites.render(indices)
    path = official_hdf5(tmp_path / "sprites.hdf5", rows, images[:, 0])
    asked = np.array([3, 0, 11, 3, 7])
    seen: list[int] = []
    found = arrays.read(path, dsprites.LAYOUT, indices[asked], seen.append)
    assert np.array_equal(found, images[asked])
    assert sum(seen) == 5
    assert arrays.read(path, dsprites.LAYOUT, indices[:0]).shape == (0, 1, 64, 64)


def test_a_value_above_one_is_refused(tmp_path: Path) -> None:
    images = np.full((1, 64, 64), 255, np.uint8)
    path = official_hdf5(tmp_path / "sprites.hdf5", np.array([5]), images)
    with pytest.raises(UserError, match=r"sprites.hdf5: imgs holds the value 255, .* at most 1"):
        arrays.read(path, dsprites.LAYOUT, np.array([[0, 0, 0, 0, 5]]))
