"""Conversion between a user's pictures and the images of models."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Tag
from torch import Tensor

from weakdis_core.data.variant import IMAGE_SIZE
from weakdis_core.errors import UserError

Images = NDArray[np.float32]
"""`(..., channels, size, size)` in [0, 1]."""
Pixels = NDArray[np.uint8]
"""`(channels, size, size)`."""
Pictures = Image.Image | Sequence[Image.Image] | ArrayLike | Tensor
"""One or several images in any form that `to_tensor` reads."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
"""Accepted formats. Pillow reads others too, some of them by starting a program."""

NO_VIDEO = (
    "videos are not read; extract frames as pictures, and name each frame's video in a column that "
    "--group names"
)
"""Reason and advice where a video or an animation is refused."""

# The first bytes of MP4 and MOV (not those of AVIF and HEIC pictures), AVI, and MKV and WebM.
_VIDEO = re.compile(rb"....(ftyp(?!avi|hei|mif)|moov|mdat)|RIFF....AVI |\x1aE\xdf\xa3", re.DOTALL)
_MOST_PIXELS = 80_000_000
# Turns a picture upright, by the orientation in its EXIF data.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in the form that a model needs.

    Attributes:
        pixels: `(channels, size, size)` in [0, 1].
        changes: Description of the conversion; empty if there was none.
    """

    pixels: Tensor
    changes: str


def read_picture(
    content: bytes, channels: int, name: str = "the picture", size: int = IMAGE_SIZE
) -> Picture:
    """Read a picture file of any size and colours for a model of grey (1) or RGB (3) images.

    Transparent parts become black. A picture that is not square keeps its aspect: bars of the
    median colour of its border fill the square. Error messages contain `name`.

    Raises:
        UserError: The file is not in one of the `FORMATS`, damaged, or has several frames.
    """
    pixels, changes = _read(content, channels, name, size)
    return Picture(_to_unit(pixels), changes)


def read_pixels(content: bytes, channels: int, name: str, size: int) -> Pixels:
    """Read a picture file as `read_picture` does, as uint8 `(channels, size, size)`."""
    return _read(content, channels, name, size)[0]


def to_pixels(image: Image.Image, channels: int, size: int) -> Pixels:
    """Convert a PIL image to uint8 `(channels, size, size)`."""
    return _convert(image, channels, size)[0]


def to_tensor(images: Pictures, channels: int, size: int = IMAGE_SIZE) -> Tensor:
    """Convert images in any form to `(n, channels, size, size)` in [0, 1]; `Model` lists the forms.

    Raises:
        UserError: The shape, the type or a pixel is not allowed.
    """
    if isinstance(images, Image.Image):
        images = [images]
    if isinstance(images, list | tuple) and images and isinstance(images[0], Image.Image):
        return torch.stack([_to_unit(to_pixels(each, channels, size)) for each in images])
    try:
        array = np.asarray(images.detach().cpu() if isinstance(images, Tensor) else images)
    except ValueError:
        array = np.empty(0, object)  # arrays of several sizes
    found = f"{array.dtype} of shape {array.shape}"
    if array.shape[-3:] == (size, size, channels):
        array = np.moveaxis(array, -1, -3)
    if channels == 1 and array.ndim <= 3 and array.shape[-2:] == (size, size):
        array = array.reshape(-1, 1, size, size)
    array = array[None] if array.ndim == 3 else array
    valid = array.shape[1:] == (channels, size, size) and array.size and array.dtype.kind in "fbu"
    if valid and array.dtype == np.uint8:
        # Binary images, such as the official dSprites, are stored as 0 and 1.
        array = array / np.float32(255 if array.max() > 1 else 1)
    if not (valid and array.min() >= 0 and array.max() <= 1):
        raise UserError(
            f"images: {found} are not allowed: PIL images, or an array (n, {channels}, {size}, "
            f"{size}) or (n, {size}, {size}, {channels}) of uint8 or from 0 to 1, are needed"
        )
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def to_pil(images: Images) -> list[Image.Image]:
    """Convert images `(n, channels, size, size)` in [0, 1] to PIL images."""
    pixels = np.rint(images.clip(0, 1) * 255).astype(np.uint8)
    planes = pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
    return [Image.fromarray(each) for each in planes]


def encode_png(image: Images) -> bytes:
    """Encode an image `(channels, size, size)` in [0, 1] as a PNG file."""
    file = io.BytesIO()
    to_pil(image[None])[0].save(file, "png")
    return file.getvalue()


def _read(content: bytes, channels: int, name: str, size: int) -> tuple[Pixels, str]:
    """Return the pixels of a picture file and a description of their conversion."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise ValueError(f"it has more than {_MOST_PIXELS} pixels")
            # A JPEG with a preview or a gain map (MPO), as phones write it, is one picture.
            animated = opened.format != "MPO" and getattr(opened, "is_animated", False)
            if not animated:
                return _convert(opened, channels, size)
    except Exception as error:
        # Pillow raises errors of any type for a damaged file.
        unknown = isinstance(error, UnidentifiedImageError)
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        reason = "unknown format" if unknown else first_line
        if not (unknown and _VIDEO.match(content)):
            raise UserError(
                f"image: {name} cannot be read ({reason}); a PNG, JPEG, GIF or WebP file is needed"
            ) from None
    raise UserError(f"image: {name} is not allowed: {NO_VIDEO}")


def _convert(image: Image.Image, channels: int, size: int) -> tuple[Pixels, str]:
    image.load()
    image = _turn_upright(image)
    mode = "L" if channels == 1 else "RGB"
    changes = [] if image.mode == mode else [f"{image.mode} to {mode}"]
    image = _to_eight_bits(image)
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    image = image.convert(mode)
    if image.size != (size, size):
        width, height = image.size
        padded = ", padded" if width != height else ""
        changes.append(f"{width}x{height} to {size}x{size} pixels{padded}")
        image = _fit(image, size)
    pixels = np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(pixels), ", ".join(changes)


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Resize an image to a square, with its aspect kept and bars of its border's median colour."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    if width == height:
        return image
    pixels = np.asarray(image).reshape(height, width, -1)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    # The median, because a mean mixes the background with an object that touches the border.
    colour = tuple(np.median(border, 0).astype(int).tolist())
    square = Image.new(image.mode, (size, size), colour if len(colour) > 1 else colour[0])
    square.paste(image, ((size - width) // 2, (size - height) // 2))
    return square


def _to_unit(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255)


def _turn_upright(image: Image.Image) -> Image.Image:
    # `ImageOps.exif_transpose` also rewrites the EXIF data, which fails if they are damaged.
    turn = _UPRIGHT.get(image.getexif().get(Tag.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits of grey to 8; Pillow would clip values above 255."""
    if not image.mode.startswith("I"):
        return image
    grey = np.asarray(image)
    grey = np.where(grey == image.info.get("transparency"), 0, grey)
    return Image.fromarray(np.rint(grey / 257).astype(np.uint8))
