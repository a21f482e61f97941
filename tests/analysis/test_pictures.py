"""A user's pictures, as a model sees them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from analysis.pictures import png_of, read_picture
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError

SPRITES, ROOMS = get_variant("dsprites_v2"), get_variant("shapes3d_v2")


def file_of(image: Image.Image, form: str = "png") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def test_a_picture_of_the_right_kind_is_left_as_it_is() -> None:
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    picture = read_picture(file_of(Image.fromarray(pixels)), SPRITES)
    assert picture.changes == ""
    assert picture.pixels.shape == (1, 64, 64)
    assert np.array_equal(np.rint(picture.pixels[0].numpy() * 255), pixels)


def test_png_and_back() -> None:
    image = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    again = read_picture(png_of(image), ROOMS).pixels.numpy()
    assert np.abs(again - image).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_and_size(mode: str) -> None:
    white = Image.new("RGB", (200, 100), "white")
    image = Image.new(mode, white.size, 65535) if mode == "I;16" else white.convert(mode)
    for variant in (SPRITES, ROOMS):
        picture = read_picture(file_of(image), variant)
        assert picture.pixels.shape == (variant.channels, 64, 64)
        assert picture.pixels.min() > 0.99
        assert "200x100 to 64x64 pixels" in picture.changes


def test_what_is_transparent_is_black() -> None:
    picture = read_picture(file_of(Image.new("RGBA", (64, 64), (255, 255, 255, 0))), ROOMS)
    assert picture.pixels.max() == 0
    assert picture.changes == "RGBA to RGB"


def test_colours_keep_their_order() -> None:
    picture = read_picture(file_of(Image.new("RGB", (64, 64), (255, 0, 0))), ROOMS)
    assert picture.pixels.mean(dim=(1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", file_of(Image.new("RGB", (640, 640), "red"))[:200]],
    ids=["empty", "text", "cut off"],
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"image: it\.png cannot be read \(.*a PNG, JPEG"):
        read_picture(content, SPRITES, "it.png")
