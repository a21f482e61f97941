"""Conversion between a user's pictures and the images of models."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Tag
from torch import Tensor

from weakdis_core.data.variants import IMAGE_SIZE
from weakdis_core.errors import UserError

Images = NDArray[np.float32]
"""`(..., channels, 64, 64)` in [0, 1]."""
Pictures = Image.Image | Sequence[Image.Image] | ArrayLike | Tensor
"""One or several images in any form that `to_tensor` reads."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
"""Accepted formats. Pillow reads others too, some of them by starting a program."""

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
        pixels: `(channels, 64, 64)` in [0, 1].
        changes: Description of the conversion; empty if there was none.
    """

    pixels: Tensor
    changes: str


def read_picture(
    content: bytes, channels: int, name: str = "the picture", size: int = IMAGE_SIZE
) -> Picture:
    """Read a picture file of any size and colours for a model of grey (1) or RGB (3) images.

    Transparent parts become black. A picture that is not square is stretched. Error messages
    contain `name`.

    Raises:
        UserError: The file is not in one of the `FORMATS`, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise ValueError(f"it has more than {_MOST_PIXELS} pixels")
            return _convert(opened, channels, size)
    except Exception as error:
        # Pillow raises errors of any type for a damaged file.
        unknown = isinstance(error, UnidentifiedImageError)
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        reason = "unknown format" if unknown else first_line
        raise UserError(
            f"image: {name} cannot be read ({reason}); a PNG, JPEG, GIF or WebP file is needed"
        ) from None


def read_pixels(content: bytes, channels: int, name: str, size: int) -> NDArray[np.uint8]:
    """Read a picture file as `read_picture` does, as uint8 `(channels, size, size)`."""
    return _eight_bits(read_picture(content, channels, name, size))


def to_pixels(image: Image.Image, channels: int, size: int) -> NDArray[np.uint8]:
    """Convert a PIL image to uint8 `(channels, size, size)`."""
    return _eight_bits(_convert(image, channels, size))


def to_tensor(images: Pictures, channels: int) -> Tensor:
    """Convert images in any form to `(n, channels, 64, 64)` in [0, 1]; `Model` lists the forms.

    Raises:
        UserError: The shape, the type or a pixel is not allowed.
    """
    if isinstance(images, Image.Image):
        images = [images]
    if isinstance(images, list | tuple) and images and isinstance(images[0], Image.Image):
        return torch.stack([_convert(each, channels, IMAGE_SIZE).pixels for each in images])
    try:
        array = np.asarray(images.detach().cpu() if isinstance(images, Tensor) else images)
    except ValueError:
        array = np.empty(0, object)  # arrays of several sizes
    found, size = f"{array.dtype} of shape {array.shape}", IMAGE_SIZE
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
    """Convert images `(n, channels, 64, 64)` in [0, 1] to PIL images."""
    pixels = np.rint(images.clip(0, 1) * 255).astype(np.uint8)
    planes = pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
    return [Image.fromarray(each) for each in planes]


def encode_png(image: Images) -> bytes:
    """Encode an image `(channels, 64, 64)` in [0, 1] as a PNG file."""
    file = io.BytesIO()
    to_pil(image[None])[0].save(file, "png")
    return file.getvalue()


def _convert(image: Image.Image, channels: int, size: int) -> Picture:
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
        changes.append(f"{width}x{height} to {size}x{size} pixels")
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.float32) / 255
    planes = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    return Picture(torch.from_numpy(np.ascontiguousarray(planes)), ", ".join(changes))


def _eight_bits(picture: Picture) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.rint(picture.pixels.numpy() * 255).astype(np.uint8)
    return pixels


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
