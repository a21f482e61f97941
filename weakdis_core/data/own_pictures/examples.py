"""Example data sets: folders of pictures with a CSV of labels, as `weakdis data add` reads them.

`people` and `digits` are pictures that nobody drew for this model. A shipped variant's name writes
its own pictures.

People are Google's Noto Emoji (Apache License 2.0), as packaged by emoji-datasource-google 16.0.0
and reduced to 48 x 48 pixels: every combination of 16 roles, 2 genders and 6 skin tones. Digits are
those of scikit-learn (`load_digits`), which are from the UCI repository.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakdis_core.config.settings import DataSettings
from weakdis_core.data.prepared import prepare
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.files import new_folder, write_text
from weakdis_core.seeding import numpy_generator

SIDE = 64
LABELS = "metadata.csv"
PEOPLE_TEST = 2_000
"""Pictures of people for test alone, in addition to those asked for."""

_PEOPLE = Path(__file__).with_name("people.npz")
_BACKGROUNDS = ((245, 245, 245), (200, 225, 245), (215, 235, 205), (250, 230, 200), (60, 65, 80))
_SIDES = (34, 41, 48)
_ABSENT = 20
_COLOURS = {
    "red": (230, 60, 50), "green": (60, 180, 75), "blue": (70, 110, 240),
    "yellow": (250, 220, 60), "purple": (180, 80, 200), "white": (240, 240, 240),
}  # fmt: skip
_DIGIT_SIDE = 18
_DIGIT_TABLE = 21
_MOVED = "--transformations shift --transformations zoom"

Labels = dict[str, str]
Drawn = Iterator[tuple[Image.Image, Labels]]


@dataclass(frozen=True)
class Example:
    """An example data set.

    Attributes:
        draw: Draws this many pictures with their labels, by a generator.
        pictures: Number of pictures by default.
        labelled: Number of them that have labels by default; None for all.
        add: Flags of `weakdis data add` that fit it.
    """

    draw: Callable[[int, np.random.Generator], Drawn]
    pictures: int
    labelled: int | None
    add: str = ""


def write_example(
    name: str,
    folder: Path,
    pictures: int | None = None,
    labelled: int | None = None,
    seed: int = 0,
) -> str:
    """Write the pictures of an example and `metadata.csv` into a new folder.

    Args:
        name: `people`, `digits` or a shipped variant.
        folder: The folder; it must not exist.
        pictures: Number of pictures; by default the example's.
        labelled: Number of pictures with labels; by default the example's.
        seed: Seed of the pictures and of the choice of labelled ones.

    Returns:
        The flags of `weakdis data add` that fit the example.

    Raises:
        UserError: The folder exists, or there is no such example.
    """
    if name not in EXAMPLES and name not in VARIANTS:
        known = ", ".join((*EXAMPLES, *VARIANTS))
        raise UserError(f"name: {name!r} is not an example: choose one of {known}")
    if folder.exists():
        raise UserError(f"output: {folder} exists; remove it, or name another folder")
    example = EXAMPLES.get(name) or variant_example(name)
    drawn = example.draw(pictures or example.pictures, numpy_generator(seed, f"example {name}"))
    with new_folder(folder) as unfinished:
        rows = []
        for number, (picture, labels) in enumerate(drawn):
            file = f"{number:05d}.png"
            picture.save(unfinished / file)
            rows.append({"file": file, **labels})
        wanted = labelled or example.labelled or len(rows)
        kept = numpy_generator(seed, f"labels of {name}").permutation(len(rows))[:wanted]
        _write_labels([rows[number] for number in sorted(kept)], unfinished / LABELS)
    return example.add


def _write_labels(rows: list[Labels], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def draw_people(pictures: int, generator: np.random.Generator) -> Drawn:
    """Draw people at random places, in three sizes, on five backgrounds; no two are the same.

    20 of the 192 combinations are absent. Of the pictures asked for, a thirtieth each is for
    validation and for test; `PEOPLE_TEST` more are for test.
    """
    with np.load(_PEOPLE) as file:
        people, role, gender, tone = (file[key] for key in ("pictures", "role", "gender", "tone"))
    present = generator.permutation(len(people))[_ABSENT:]
    held_out = round(0.032 * pictures)
    splits = ["train"] * (pictures - 2 * held_out) + ["validation"] * held_out
    splits += ["test"] * (held_out + PEOPLE_TEST)
    seen = set()
    for split in splits:
        while True:
            person = generator.choice(present)
            picture = _place(people[person], generator)
            if (content := picture.tobytes()) not in seen:
                break
        seen.add(content)
        labels = {"role": role[person], "gender": gender[person], "tone": tone[person]}
        yield picture, {name: str(value) for name, value in labels.items()} | {"split": split}


def _place(person: NDArray[np.uint8], generator: np.random.Generator) -> Image.Image:
    side = _SIDES[generator.integers(len(_SIDES))]
    picture = Image.new("RGB", (SIDE, SIDE), _BACKGROUNDS[generator.integers(len(_BACKGROUNDS))])
    drawn = Image.fromarray(person, "RGBA").resize((side, side), Image.Resampling.LANCZOS)
    x, y = (int(each) for each in generator.integers(0, SIDE - side + 1, 2))
    picture.paste(drawn, (x, y), drawn)
    return picture


def draw_digits(pictures: int, generator: np.random.Generator) -> Drawn:
    """Draw handwritten digits in six colours in the cells of a 3 x 3 table.

    The column `source` is the number of the original: 1,797 originals make the set.
    """
    # Slow to import, and only these pictures need it.
    from sklearn.datasets import load_digits

    digits = load_digits()
    for _ in range(pictures):
        source = int(generator.integers(len(digits.images)))
        colour = str(generator.choice(list(_COLOURS)))
        column, row = (int(each) for each in generator.integers(0, 3, 2))
        ink = Image.fromarray((digits.images[source] * (255 / 16)).astype(np.uint8))
        ink = ink.resize((_DIGIT_SIDE, _DIGIT_SIDE), Image.Resampling.BILINEAR)
        picture = Image.new("RGB", (SIDE, SIDE))
        picture.paste(_COLOURS[colour], (2 + _DIGIT_TABLE * column, 2 + _DIGIT_TABLE * row), ink)
        labels = {"digit": digits.target[source], "colour": colour, "column": column, "row": row}
        yield (
            picture,
            {name: str(value) for name, value in labels.items()} | {"source": str(source)},
        )


def variant_example(variant: str) -> Example:
    """Return the pictures of a shipped variant as an example."""

    def draw(pictures: int, generator: np.random.Generator) -> Drawn:
        prepared = prepare(DataSettings(variant=variant, max_images=max(pictures, 1_000)))
        chosen = np.sort(generator.permutation(len(prepared.images))[:pictures])
        brightest = int(prepared.images[chosen].max())
        for index in chosen:
            pixels = prepared.images[index].transpose(1, 2, 0) * np.uint8(255 // brightest)
            values = zip(prepared.variant.factors, prepared.factors[index], strict=True)
            labels = {factor.name: factor.value_names[value] for factor, value in values}
            yield Image.fromarray(pixels.squeeze()), labels

    return Example(draw, 50_000, None)


EXAMPLES = {
    "people": Example(draw_people, 5_000, None, _MOVED),
    # A digit that is shifted and zoomed stays in its cell.
    "digits": Example(draw_digits, 4_000, 500, f"--group source {_MOVED} --transformations noise"),
}
"""The examples that are no variants."""
