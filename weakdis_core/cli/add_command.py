"""`weakdis data add`: describe own pictures, check them and prepare them for training."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ValidationError
from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, UseAppendAction, arg

from weakdis_core.cli import console
from weakdis_core.config.config import describe
from weakdis_core.config.description import Description, FactorDescription, Transformation
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.own import complete
from weakdis_core.data.own_pictures.factor_guess import (
    Guess,
    guess_factors,
    guess_kind,
    write_yaml,
)
from weakdis_core.data.own_pictures.labels import FILE_COLUMNS, read_labels
from weakdis_core.data.own_pictures.picture_sources import is_grey, open_pictures
from weakdis_core.data.own_pictures.published_files import NORB_DATA, NORB_LABELS
from weakdis_core.data.own_pictures.survey import describe_content, describe_factors
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.splits import splits_of
from weakdis_core.data.variants import default_relations, published_descriptions, read_description
from weakdis_core.errors import UserError
from weakdis_core.files import write_text

Columns = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(metavar="COLUMN", help_behavior_hint="(default: none)"),
]


def add(
    name: Annotated[
        Positional[str], arg(metavar="NAME", help="Name for --variant: letters, digits and _.")
    ],
    images: Annotated[
        str,
        arg(metavar="PATH", help="Folder of pictures, FILE.npz:ARRAY or FILE.h5:DATASET."),
    ],
    labels: Annotated[
        str,
        arg(
            metavar="FILE",
            help="CSV file with a column file and a column for each factor, or FILE.npz:ARRAY. By "
            "default metadata.csv or labels.csv in the folder.",
            help_behavior_hint="(default: that of the folder)",
        ),
    ] = "",
    grid: Annotated[
        str,
        arg(
            metavar="SIZES",
            help="Sizes of the factors of a full grid, such as 6,6,2,3, instead of labels; the "
            "last factor varies fastest. NAME=SIZE names a factor.",
            help_behavior_hint="(default: none)",
        ),
    ] = "",
    like: Annotated[
        str,
        arg(
            metavar="NAME",
            help="Published data set whose description fits: mpi3d, cars3d or smallnorb.",
            help_behavior_hint="(default: none)",
        ),
    ] = "",
    nuisance: Annotated[Columns, arg(help="Column that is no factor. Repeat for more.")] = (),
    group: Annotated[
        str,
        arg(
            metavar="COLUMN",
            help="Column of each picture's origin, such as its video; a "
            "group is in one split only.",
            help_behavior_hint="(default: none)",
        ),
    ] = "",
    split: Annotated[
        str,
        arg(
            metavar="COLUMN",
            help="Column with train, validation or test. By default that of this name.",
            help_behavior_hint="(default: split, if present)",
        ),
    ] = "",
    size: Annotated[Literal[32, 64, 128], arg(help="Height and width in pixels.")] = 64,
    transformations: Annotated[
        UseAppendAction[tuple[Transformation, ...]],
        arg(
            help="Change of a picture that keeps every label. Repeat the flag for more.",
            help_behavior_hint="(default: none)",
        ),
    ] = (),
    output: Annotated[
        Path | None,
        arg(metavar="FILE", help="File to write.", help_behavior_hint="(default: NAME.yaml)"),
    ] = None,
) -> None:
    """Describe own pictures in a YAML file, check them and prepare them.

    $ weakdis data add people --images people/ --labels people/metadata.csv
    $ weakdis data add robots --images mpi3d_toy.npz:images --grid 6,6,2,3,3,40,40
    """  # fmt: skip
    path = (output or Path(f"{name}.yaml")).absolute()
    if path.exists():
        raise UserError(
            f"output: {path} exists; edit it and use --variant {name}, or remove it first"
        )
    pictures = open_pictures(images)
    if like:
        _write(_published(like, name, images, labels, path.parent), path, [])
        return
    axes = _axes(grid)
    guess = _guess_grid(axes, nuisance) if axes else Guess()
    if not axes:
        labels = labels or _labels_beside(images)
        columns = read_labels(labels, pictures)
        split = split or ("split" if "split" in columns else "")
        for field, named in (("group", (group,)), ("split", (split,)), ("nuisance", nuisance)):
            _check_columns(field, named, columns)
        rest = {key: cells for key, cells in columns.items() if key != group}
        guess = guess_factors(rest, nuisance, split)
    try:
        description = Description(
            name=name,
            images=_relative(images, path.parent),
            labels=_relative(labels, path.parent),
            grid=axes,
            size=size,
            channels=1 if is_grey(pictures) else 3,
            factors=guess.factors,
            nuisance=dict.fromkeys(guess.nuisance, ()),
            group=group or None,
            split=split or None,
            transformations=transformations,
        )
    except ValidationError as error:
        raise UserError(describe(error)) from None
    _write(description, path, guess.notes)


def print_survey(prepared: Prepared) -> None:
    """Print the pictures, factors, labels, duplicates and combinations of own pictures."""
    screen = Console(highlight=False)
    table = Table("factor", "kind", "values (pictures)", "labelled", box=HORIZONTALS)
    for row in describe_factors(prepared):
        table.add_row(*row)
    screen.print(table)
    for line in describe_content(prepared):
        screen.print(line, soft_wrap=True)


def _published(like: str, name: str, images: str, labels: str, folder: Path) -> Description:
    """Return the shipped description of a published data set, for these files."""
    known = published_descriptions()
    if like not in known:
        raise UserError(f"like: {like!r} is not one of {', '.join(sorted(known))}")
    shipped = read_description(known[like], like)
    if shipped.labels and not labels:
        labels = images.replace(NORB_DATA, NORB_LABELS)
    places = {"images": _relative(images, folder), "labels": _relative(labels, folder)}
    content = shipped.model_dump(mode="json") | places | {"name": name}
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        raise UserError(describe(error)) from None


def _write(description: Description, path: Path, notes: Sequence[str]) -> None:
    """Check and prepare the pictures, and only then write the description."""
    relations = description.relations or default_relations(description)
    description = description.model_copy(update={"relations": relations})
    completed = complete(description, path)
    data = DataSettings(variant=description.name, source="own", description=completed)
    with console.progress(description.name) as advance:
        prepared = prepare(data, None, advance)
    splits_of(prepared, data.data_seed)  # Raises an error if the pictures cannot be split.
    write_text(path, write_yaml(description))
    print_survey(prepared)
    screen = Console(soft_wrap=True, highlight=False)
    for note in notes:
        screen.print(f"note: {note}")
    screen.print(f"description: {path}")
    screen.print(f"prepared: {prepared.path}")
    screen.print(f"next: weakdis sweep --variant {description.name}")


def _labels_beside(images: str) -> str:
    folder = Path(images).expanduser()
    for name in ("metadata.csv", "labels.csv"):
        if (folder / name).is_file():
            return str(folder / name)
    raise UserError(
        f"labels: none given for {images}; use --labels FILE (a CSV with a column "
        f"{FILE_COLUMNS[0]}) or --grid SIZES"
    )


def _check_columns(field: str, named: Sequence[str], columns: Iterable[str]) -> None:
    if wrong := [each for each in named if each and each not in columns]:
        raise UserError(
            f"{field}: {wrong[0]!r} is not allowed: the labels have the columns "
            f"{', '.join(columns)}"
        )


def _axes(grid: str) -> dict[str, int]:
    """Return the axes of a grid such as `6,6,2` or `shape=3,scale=6`."""
    axes: dict[str, int] = {}
    for number, part in enumerate(filter(None, grid.split(",")), start=1):
        name, _, size = part.strip().rpartition("=")
        if not size.isdigit() or int(size) < 1:
            raise UserError(f"grid: {grid!r} is not allowed: sizes such as 6,6,2,3 are needed")
        axes[name or f"factor_{number}"] = int(size)
    return axes


def _guess_grid(axes: dict[str, int], nuisance: tuple[str, ...]) -> Guess:
    """Return factors of the axes with two indices or more that are no nuisance."""
    guess = Guess(nuisance=[name for name in axes if name in nuisance])
    for name, size in axes.items():
        values = [str(index) for index in range(size)]
        if name not in nuisance and size > 1:
            guess.factors[name] = FactorDescription(
                kind=guess_kind(name, values), values={each: (each,) for each in values}
            )
    return guess


def _relative(address: str, folder: Path) -> str:
    """Return an address relative to the description's folder, if it lies below that."""
    place = Path(address).expanduser().absolute()
    inside = place.is_relative_to(folder)
    return str(place.relative_to(folder) if inside else place) if address else ""
