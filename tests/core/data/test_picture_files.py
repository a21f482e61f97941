"""Conversion of a user's pictures."""

from __future__ import annotations

import io
import random
import re
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from weakdis_core.data.picture_files import (
    FORMATS,
    encode_png,
    read_picture,
    read_pixels,
    to_pil,
    to_pixels,
    to_tensor,
)
from weakdis_core.errors import UserError

SPRITES, ROOMS = 1, 3


def file_of(image: Image.Image, form: str = "png") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def test_matching_picture_is_not_changed() -> None:
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    picture = read_picture(file_of(Image.fromarray(pixels)), SPRITES)
    assert picture.changes == ""
    assert picture.pixels.shape == (1, 64, 64)
    assert np.array_equal(np.rint(picture.pixels[0].numpy() * 255), pixels)


def test_png_round_trip() -> None:
    image = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    again = read_picture(encode_png(image), ROOMS).pixels.numpy()
    assert np.abs(again - image).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode_and_size(mode: str) -> None:
    white = Image.new("RGB", (200, 100), "white")
    image = Image.new(mode, white.size, 65535) if mode == "I;16" else white.convert(mode)
    for channels in (SPRITES, ROOMS):
        form = "jpeg" if mode == "CMYK" else "png"
        picture = read_picture(file_of(image, form), channels)
        assert picture.pixels.shape == (channels, 64, 64)
        assert picture.pixels.min() > 0.99
        assert "200x100 to 64x64 pixels, padded" in picture.changes


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("turned", [False, True])
def test_aspect_is_kept_and_bars_have_the_colour_of_the_border(size: int, turned: bool) -> None:
    # A green picture twice as wide as high. A red object covers a third of its lower edge.
    pixels = np.full((100, 200, 3), (0, 200, 0), np.uint8)
    pixels[20:, 60:120] = (200, 0, 0)
    image = Image.fromarray(pixels.transpose(1, 0, 2) if turned else pixels)
    found = read_pixels(file_of(image), ROOMS, "it", size)
    assert found.shape == (3, size, size)
    found = found.transpose(0, 2, 1) if turned else found
    quarter = size // 4
    for bar in (found[:, :quarter], found[:, -quarter:]):
        assert np.array_equal(np.unique(bar.reshape(3, -1), axis=1), [[0], [200], [0]])
    height, width = (np.any(found[0] > 100, axis=axis).sum() for axis in (1, 0))
    assert (height, width) == (pytest.approx(0.4 * size, abs=1), pytest.approx(0.3 * size, abs=1))
    assert np.array_equal(to_pixels(image, ROOMS, size), read_pixels(file_of(image), 3, "", size))
    assert to_tensor(image, ROOMS, size).shape == (1, 3, size, size)


def test_16_bit_colours_are_scaled() -> None:
    rows = np.full((64, 1 + 64 * 3 * 2), 0, np.uint8)
    rows[:, 1:] = np.frombuffer(struct.pack(">3H", 65_535, 30_000, 0) * 64, np.uint8)
    parts = [b"IHDR" + struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0)]
    parts += [b"IDAT" + zlib.compress(rows.tobytes()), b"IEND"]
    chunks = b"".join(struct.pack(">I", len(each) - 4) + each + bytes(4) for each in parts)
    content = with_checksums(bytearray(b"\x89PNG\r\n\x1a\n" + chunks))
    colours = read_picture(content, ROOMS).pixels.mean(dim=(1, 2))
    assert colours.tolist() == pytest.approx([1, 30_000 / 65_535, 0], abs=1 / 255)


def frames(form: str, n: int) -> bytes:
    first, *rest = (Image.new("RGB", (64, 64), (200 - 50 * k, 0, 0)) for k in range(n))
    file = io.BytesIO()
    first.save(file, form, save_all=True, append_images=rest)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *(frames(form, 3) for form in ("GIF", "PNG", "WEBP")),
        b"\0\0\0\x20ftypisom" + bytes(99),
        b"\0\0\0\x14ftypqt  " + bytes(99),
        b"RIFF\0\0\0\0AVI LIST" + bytes(99),
        b"\x1aE\xdf\xa3" + bytes(99),
    ],
    ids=["GIF", "PNG", "WEBP", "mp4", "mov", "avi", "mkv"],
)
def test_a_video_is_refused_and_an_image_of_one_frame_is_read(content: bytes) -> None:
    with pytest.raises(
        UserError, match=r"image: it is not allowed: videos .* extract frames .*--gr"
    ):
        read_picture(content, ROOMS, "it")
    for form in ("GIF", "PNG", "WEBP"):
        assert read_picture(frames(form, 1), ROOMS).pixels[0].mean() == pytest.approx(
            200 / 255, abs=0.02
        )
    # A phone's JPEG with a second image, such as a preview, is one picture.
    assert read_picture(frames("MPO", 2), ROOMS).pixels[0].mean() == pytest.approx(
        200 / 255, abs=0.02
    )


def test_transparent_parts_become_black() -> None:
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
def test_file_that_is_not_a_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"image: it\.png cannot be read \(.*a PNG, JPEG"):
        read_picture(content, SPRITES, "it.png")


MUTATIONS = 1500
CASE = Path(__file__).parents[2] / "fixtures" / "exif_numeric_tag_as_text.jpg"


def example(form: str) -> bytes:
    """Return a small picture, with orientation and transparency if the format has them."""
    image = Image.effect_noise((24, 16), 90).convert("P" if form in ("PNG", "GIF") else "RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x0131] = 6, "a program"
    for number in (0x0100, 0x0101, 0x0106, 0x0128, 0x4746):
        exif[number] = 2
    exif[0x011A] = exif[0x011B] = 72.0
    more = {"transparency": 3} if image.mode == "P" else {}
    file = io.BytesIO()
    image.save(file, form, exif=exif, **more)
    return file.getvalue()


def mutated(content: bytes, form: str, chance: random.Random) -> bytes:
    """Return the content with bytes changed or cut off, and with correct checksums."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        # Half of them in what comes before the pixels.
        place = chance.randrange(chance.choice((min(300, len(changed)), len(changed))))
        kind = chance.random()
        if kind < 0.6:
            changed[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        elif kind < 0.8:
            changed[place : place + 4] = chance.randbytes(4)
        elif kind < 0.9:
            del changed[place : place + chance.randint(1, 8)]
        else:
            del changed[max(place, 8) :]
    return with_checksums(changed) if form == "PNG" else bytes(changed)


def with_checksums(content: bytearray) -> bytes:
    """Return a PNG file with the correct checksum of each chunk."""
    start = 8
    while start + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, start)
        end = start + 8 + length
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[start + 4 : end]))
        start = end + 4
    return bytes(content)


# In a user's program, Pillow's warnings are no errors.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_is_read_or_refused(form: str) -> None:
    chance, content, refusals = random.Random(0), example(form), []
    for _ in range(MUTATIONS):
        try:
            picture = read_picture(mutated(content, form, chance), ROOMS, "it")
        except UserError as error:
            refusals.append(str(error))
        else:
            assert picture.pixels.shape == (3, 64, 64)
    # Both happen, so the mutations reach the pixels.
    assert MUTATIONS / 20 < len(refusals) < MUTATIONS
    clear = r"image: it cannot be read \(.+\); a PNG, JPEG, GIF or WebP file is needed"
    assert [refusal for refusal in refusals if not re.fullmatch(clear, refusal)] == []


OTHERS = (
    "AVIF", "BLP", "BMP", "DDS", "DIB", "EPS", "ICNS", "ICO", "JPEG2000", "MSP", "PALM", "PCX",
    "PDF", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "XBM",
)  # fmt: skip


@pytest.mark.parametrize("form", OTHERS)
def test_no_other_format_is_opened(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*args: object, **kwargs: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    mode = {"BLP": "P", "MSP": "1", "PALM": "1", "XBM": "1"}.get(form, "RGB")
    content = file_of(Image.new(mode, (16, 16)), form)
    with pytest.raises(UserError, match=r"^image: it cannot be read \(unknown format\); a PNG"):
        read_picture(content, SPRITES, "it")


@pytest.mark.parametrize("mode", ["F", "I"])
def test_a_tiff_of_numbers_is_refused(mode: str) -> None:
    with pytest.raises(UserError, match="unknown format"):
        read_picture(file_of(Image.new(mode, (64, 64), 1), "tiff"), SPRITES)


def test_number_stored_as_text_in_exif_is_accepted() -> None:
    picture = read_picture(CASE.read_bytes(), ROOMS)
    with Image.open(CASE) as opened:
        upright = opened.transpose(Image.Transpose.ROTATE_270).convert("RGB")
    assert np.array_equal(picture.pixels, read_picture(file_of(upright), ROOMS).pixels)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_turned_upright(orientation: int, form: str) -> None:
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:16, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, form, exif=exif)
    seen = read_picture(file.getvalue(), SPRITES).pixels[0].numpy()
    flipped, mirrored = pixels[::-1], pixels[:, ::-1]
    upright = {
        2: mirrored, 3: flipped[:, ::-1], 4: flipped, 5: pixels.T, 6: flipped.T,
        7: flipped[:, ::-1].T, 8: mirrored.T,
    }.get(orientation, pixels)  # fmt: skip
    assert np.abs(seen - upright / 255).mean() < 0.02


def test_transparent_16_bit_grey_becomes_black() -> None:
    pixels = np.full((64, 64), 30_000, np.uint16)
    pixels[:32] = 40_000
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    # Pillow writes no transparency of this mode: the chunk tRNS goes before the pixels.
    before, data, after = file.getvalue().partition(b"IDAT")
    chunk = b"tRNS" + struct.pack(">H", 40_000)
    own = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
    picture = read_picture(before[:-4] + own + before[-4:] + data + after, SPRITES)
    assert picture.pixels[0, :32].max() == 0
    assert np.allclose(picture.pixels[0, 32:], 30_000 / 65_535, atol=1 / 255)


def test_a_huge_picture_is_refused_before_it_is_read() -> None:
    content = bytearray(file_of(Image.new("L", (16, 16))))
    content[16:24] = struct.pack(">II", 10_000, 8_001)
    with pytest.raises(UserError, match="more than 80000000 pixels"):
        read_picture(with_checksums(content), SPRITES)


@pytest.mark.parametrize("channels", [SPRITES, ROOMS])
def test_every_form_of_images_gives_the_same_pixels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, channels, 64, 64), np.uint8)
    expected = (image / 255).astype(np.float32)
    last = image.transpose(0, 2, 3, 1)
    several: list[Any] = [image, last, expected, torch.from_numpy(expected), to_pil(expected)]
    single: list[Any] = [image[0], last[0], to_pil(expected)[0], list(image[:1])]
    if channels == SPRITES:
        several.append(image[:, 0])
        single.append(image[0, 0])
    for form in several:
        np.testing.assert_allclose(to_tensor(form, channels), expected, atol=1e-7)
    for form in single:
        np.testing.assert_allclose(to_tensor(form, channels), expected[:1], atol=1e-7)
    binary = image > 127
    for dtype in (bool, np.uint8, np.float64):
        assert np.array_equal(to_tensor(binary.astype(dtype), channels), binary)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 64, 64)), r"images: float64 of shape \(2, 3, 64, 64\) are not allowed: "),
        (
            np.zeros((2, 32, 32)),
            r"an array \(n, 1, 64, 64\) or \(n, 64, 64, 1\) of uint8 or from 0",
        ),
        (np.zeros((0, 64, 64)), r"shape \(0, 64, 64\) are not allowed"),
        ("picture.png", r"<U11 of shape \(\) are not allowed"),
        ([], r"shape \(0,\) are not allowed"),
        ([np.zeros((64, 64)), np.zeros((32, 64))], r"object of shape \(0,\) are not allowed"),
        (np.full((64, 64), 255.0), "uint8 or from 0 to 1, are needed"),
        (np.full((64, 64), np.nan), "uint8 or from 0 to 1, are needed"),
        (np.zeros((64, 64), np.int64), "int64 .* uint8 or from 0 to 1, are needed"),
    ],
)
def test_other_arrays_are_refused(images: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_tensor(images, SPRITES)
