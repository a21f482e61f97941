"""A picture of a data set: a grid of samples with their factor values below them."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variant import UNKNOWN, Factor
from weakdis_core.errors import UserError
from weakdis_core.seeding import numpy_generator

# Sizes in inches; three pixels of the figure for each pixel of an image.
_DPI = 150
_PICTURE = 3 * 64 / _DPI
_CELL = _PICTURE + 0.12
_LINE = 0.14
_TITLE = 0.5
_MARGIN = 0.1


def write_samples(prepared: Prepared, path: Path, rows: int, columns: int, seed: int) -> None:
    """Write a PNG of `rows x columns` images, chosen at random by `seed`.

    Raises:
        UserError: The file cannot be written.
    """
    generator = numpy_generator(seed, "show")
    n_images = len(prepared.images)
    chosen = generator.choice(n_images, min(rows * columns, n_images), replace=False)
    names = prepared.variant.factor_names
    cell_height = _CELL + _LINE * len(names)
    size = (max(_CELL * columns + _MARGIN, 4.5), cell_height * rows + _TITLE)
    # A figure with its own canvas needs neither pyplot nor a window.
    figure = Figure(figsize=size, dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.text(
        _MARGIN / size[0], 1 - 0.08 / size[1], _title(prepared), ha="left", va="top", fontsize=9
    )
    for place, image in enumerate(chosen):
        row, column = divmod(place, columns)
        left = _MARGIN + _CELL * column
        bottom = size[1] - _TITLE - cell_height * row - _PICTURE
        box = (left / size[0], bottom / size[1], _PICTURE / size[0], _PICTURE / size[1])
        axes = figure.add_axes(box)
        pixels = prepared.images[image].transpose(1, 2, 0) / prepared.scale
        axes.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        pairs = zip(prepared.variant.factors, prepared.factors[image].tolist(), strict=True)
        caption = "\n".join(f"{factor.name} {_value(factor, value)}" for factor, value in pairs)
        figure.text(
            left / size[0], (bottom - 0.03) / size[1], caption,
            ha="left", va="top", fontsize=7.5, linespacing=1.15,
        )  # fmt: skip
    try:
        canvas.print_png(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def _value(factor: Factor, value: int) -> str:
    return "?" if value == UNKNOWN else factor.value_names[value]


def _title(prepared: Prepared) -> str:
    variant = prepared.variant
    sizes = ", ".join(f"{factor.name} {factor.n_values}" for factor in variant.factors)
    return (
        f"{variant.name}: {len(prepared.images):,} {prepared.source} images, "
        f"{variant.n_combinations:,} combinations\nvalues: {sizes}"
    )
