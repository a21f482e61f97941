"""A small picture of what a model does, drawn in milliseconds while it trains."""

import io

import numpy as np
from PIL import Image, ImageDraw

from weakdis_core.pictures.manipulation import manipulate
from weakdis_core.training.trainer import Trainer

SHEETS = "sheets"
"""Name of the sheets' folder in a checkpoint; its files are `STEP.jpg`."""

_IMAGES, _SIDE, _GAP, _LABELS = 6, 64, 3, 100


def draw_sheet(trainer: Trainer) -> bytes:
    """Draw test images, their reconstructions, and the images after each relation, as JPEG.

    Each column is an image, each row a relation. Training does not depend on it: it draws no
    random numbers.
    """
    images = trainer.bank.batch(trainer.images_of("test", _IMAGES))
    rows = manipulate(trainer.model, images, trainer.variant.relation_names)
    pitch = _SIDE + _GAP
    sheet = Image.new("RGB", (_LABELS + len(images) * pitch, len(rows) * pitch), "white")
    write = ImageDraw.Draw(sheet)
    for top, (name, row) in zip(range(0, sheet.height, pitch), rows.items(), strict=True):
        label = name.replace("_", " ")
        write.text((_LABELS - 6, top + _SIDE / 2), label, "black", anchor="rm")
        for column, image in enumerate(row):
            pixels = np.round(255 * image.transpose(1, 2, 0)).astype(np.uint8)
            shown = Image.fromarray(pixels.squeeze()).resize((_SIDE, _SIDE), Image.Resampling.BOX)
            sheet.paste(shown, (_LABELS + column * pitch, top))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()
