"""Conversion between a user's picture files and the images of models."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Tag
from torch import Tensor

from weakdis_core.data.source import IMAGE_SIZE
from weakdis_core.data.variants import Variant
from weakdis_core.errors import UserError

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


def read_picture(content: bytes, variant: Variant, name: str = "the picture") -> Picture:
    """Read a picture file of any size and colours for the model of a variant.

    Transparent parts become black. A picture that is not square is stretched. Error messages
    contain `name`.

    Raises:
        UserError: The file is not in one of the `FORMATS`, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise ValueError(f"it has more than {_MOST_PIXELS} pixels")
            opened.load()
            image = _turn_upright(opened)
            mode = "L" if variant.channels == 1 else "RGB"
            changes = [] if image.mode == mode else [f"{image.mode} to {mode}"]
            image = _to_eight_bits(image)
            if image.has_transparency_data:
                black = Image.new("RGBA", image.size, "black")
                image = Image.alpha_composite(black, image.convert("RGBA"))
            image = image.convert(mode)
    except Exception as error:
        # Pillow raises errors of any type for a damaged file.
        unknown = isinstance(error, UnidentifiedImageError)
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        reason = "unknown format" if unknown else first_line
        raise UserError(
            f"image: {name} cannot be read ({reason}); a PNG, JPEG, GIF or WebP file is needed"
        ) from None
    if image.size != (IMAGE_SIZE, IMAGE_SIZE):
        width, height = image.size
        changes.append(f"{width}x{height} to {IMAGE_SIZE}x{IMAGE_SIZE} pixels")
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.float32) / 255
    planes = pixels[None] if variant.channels == 1 else pixels.transpose(2, 0, 1)
    return Picture(torch.from_numpy(np.ascontiguousarray(planes)), ", ".join(changes))


def encode_png(image: NDArray[np.float32]) -> bytes:
    """Encode an image `(channels, 64, 64)` in [0, 1] as a PNG file."""
    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    planes = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(planes).save(file, "png")
    return file.getvalue()


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
