"""`weakdis data`: add, list, prepare, download and show data sets, and choose what to label."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, get_args

from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from weakdis_core.cli import console
from weakdis_core.cli.add_command import add, print_survey
from weakdis_core.cli.arguments import DataDir
from weakdis_core.cli.choose_command import choose
from weakdis_core.config.config import validated
from weakdis_core.config.settings import DataSettings, Source
from weakdis_core.data import official
from weakdis_core.data.official import Family
from weakdis_core.data.own import added_descriptions, data_settings
from weakdis_core.data.own_pictures.examples import write_example
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.show import write_samples
from weakdis_core.data.source import plan
from weakdis_core.data.variants import VARIANTS, variant_of
from weakdis_core.errors import UserError

Name = Annotated[
    str, arg(metavar="VARIANT", help="A variant, or own pictures by their name or description.")
]
Images = Annotated[int, arg(help="Number of images drawn from the variant, by the data seed.")]
Seed = Annotated[int, arg(help="Seed of the draw of images.")]
Origin = Annotated[
    Source, arg(help="Official files, our own rendering, or official if present (auto).")
]


def run(args: Sequence[str], prog: str) -> None:
    """Run the data command that the first argument names."""
    commands: dict[str, Callable[..., object]] = {
        "add": add,
        "example": example,
        "list": list_variants,
        "prepare": prepare_variants,
        "download": download,
        "show": show,
        "choose": choose,
    }
    console.run_command(commands, args, prog=prog, description=__doc__)


def example(
    name: Annotated[
        Positional[str], arg(metavar="NAME", help="people, digits or the name of a variant.")
    ],
    output: Annotated[
        Path | None,
        arg(metavar="FOLDER", help="Folder to write.", help_behavior_hint="(default: NAME)"),
    ] = None,
    pictures: Annotated[
        int | None,
        arg(help="Number of pictures.", help_behavior_hint="(default: 4,000 or more)"),
    ] = None,
    labelled: Annotated[
        int | None,
        arg(
            help="Number of pictures with labels.",
            help_behavior_hint="(default: 500 digits; all of the others)",
        ),
    ] = None,
    seed: Annotated[int, arg(help="Seed of the pictures.")] = 0,
) -> None:
    """Write the pictures and labels of an example into a folder, as `data add` reads them.

    $ weakdis data example digits
    $ weakdis data add digits --images digits --group source
    """
    for field, number in (("pictures", pictures), ("labelled", labelled)):
        if number is not None and number < 1:
            raise UserError(f"{field}: {number} is not allowed: it must be at least 1")
    folder = output or Path(name)
    flags = write_example(name, folder, pictures, labelled, seed)
    # A shipped variant's name is taken.
    added = f"{name}_files" if name in VARIANTS else name
    line = f"next: weakdis data add {added} --images {folder} {flags}"
    Console(soft_wrap=True, highlight=False).print(line.rstrip())


def list_variants(data_dir: DataDir = None) -> None:
    """List the variants, their factors and relations, and the data on this machine."""
    table = Table("variant", box=HORIZONTALS, show_lines=True, pad_edge=False)
    for column in ("combi-\nnations", "images"):
        table.add_column(column, justify="right")
    for column in ("factors", "relations", "prepared"):
        table.add_column(column)
    screen, failures = Console(), []
    for name in (*VARIANTS, *added_descriptions()):
        try:
            data = DataSettings.model_validate(data_settings(name))
        except UserError as error:
            failures.append(f"{name}: {error}")
            continue
        planned, variant = plan(data, data_dir), variant_of(data)
        table.add_row(
            variant.name,
            f"{variant.n_combinations:,}",
            f"{planned.n_images:,}",
            "\n".join(f"{factor.name} {factor.n_values}" for factor in variant.factors),
            "\n".join(variant.relation_names),
            planned.source if planned.path.exists() else "no",
        )
    screen.print(table)
    for failure in failures:
        screen.print(failure, soft_wrap=True, highlight=False)
    for family in get_args(Family):
        # soft_wrap keeps a path on one line.
        found = official.find(family, data_dir) or "absent, images are rendered"
        screen.print(f"official {family} file: {found}", soft_wrap=True, highlight=False)


def prepare_variants(
    variant: Annotated[
        str, arg(metavar="VARIANT", help="A variant, own pictures, or all the shipped variants.")
    ],
    source: Origin = "auto",
    max_images: Images = 50_000,
    data_seed: Seed = 0,
    data_dir: DataDir = None,
) -> None:
    """Render or read the images of a variant into the cache that training opens."""
    for name in VARIANTS if variant == "all" else [variant]:
        start = time.monotonic()
        prepared = _prepared(name, source, max_images, data_seed, data_dir)
        print(
            f"{name}: {len(prepared.images):,} {prepared.source} images in {prepared.path} "
            f"({time.monotonic() - start:.1f} s)"
        )


def download(
    family: Annotated[Family, arg(help="Family of the official file.")],
    data_dir: Annotated[Path | None, arg(help="Folder to write to, by default the cache.")] = None,
) -> None:
    """Download an official file and check its hash."""
    path = official.download(family, data_dir or official.cache_root() / "official")
    print(f"{family}: {path}")


def show(
    variant: Name,
    output: Annotated[Path, arg(help="PNG file to write.")],
    source: Origin = "auto",
    max_images: Images = 50_000,
    data_seed: Seed = 0,
    data_dir: DataDir = None,
    rows: Annotated[int, arg(help="Rows of the grid, 1 to 20.")] = 4,
    columns: Annotated[int, arg(help="Columns of the grid, 1 to 20.")] = 8,
) -> None:
    """Write a picture with a grid of samples and their factor values."""
    for name, value in (("rows", rows), ("columns", columns)):
        if not 1 <= value <= 20:
            raise UserError(f"{name}: {value} is not allowed: must be from 1 to 20")
    if output.suffix.lower() != ".png":
        raise UserError(f"output: {str(output)!r} is not allowed: the name must end in .png")
    prepared = _prepared(variant, source, max_images, data_seed, data_dir)
    write_samples(prepared, output, rows, columns, data_seed)
    if prepared.source == "own":
        print_survey(prepared)
    print(f"{output}: {min(rows * columns, len(prepared.images))} samples of {variant}")


def _prepared(
    variant: str, source: Source, max_images: int, data_seed: int, data_dir: Path | None
) -> Prepared:
    drawn = {"source": source, "max_images": max_images, "data_seed": data_seed}
    # The settings of own pictures have a source of their own.
    settings = validated({"data": drawn | data_settings(variant)}).data
    with console.progress(settings.variant) as advance:
        return prepare(settings, data_dir, advance)
