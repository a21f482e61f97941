"""All pictures of a trained model."""

from pathlib import Path

from weakdis_core.config.settings import BY_FACTOR
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import relation_rows, repeated_rows, swap_rows, traversal_rows
from weakdis_core.pictures.confusion import confusions, write_confusion, write_confusion_table
from weakdis_core.pictures.grid import write_rows
from weakdis_core.pictures.partitions import write_partitions
from weakdis_core.training.trainer import Trainer

FOLDER = "pictures"
"""Name of the pictures' folder in a run's folder and among its artifacts."""

CAPTIONS: dict[str, str] = {
    "manipulation": "Test images, their reconstructions, and the images after each relation.",
    "repeated": (
        "Test images after a relation is applied once, twice and so on, each time to the previous "
        "result. In the frame the factor has its first value again, and the image should equal the "
        "reconstruction. The number is their root mean square difference, for pixels in [0, 1]."
    ),
    "traversals": (
        "Test images with one partition (row) replaced by the mean of each component of its prior. "
        "The frame marks the true value of the factor."
    ),
    "swaps": "Pairs of test images A and B, and A with one partition (column) taken from B.",
    "partitions": (
        "Codes of test images in each partition, on the plane in which they vary most. Markers "
        "show the true value of the factor. Ellipses show the components of the prior at two "
        "standard deviations, with the number of their value if there is space."
    ),
    "confusion": (
        "How often a value (row) is read as another (column). Top: the encoder reads each factor "
        "of test images. Bottom: the oracle reads the affected factor of the decoded image after "
        "each relation. Rows without images are blank."
    ),
}
"""Caption of each picture, by the name of its file without the ending."""


def write_pictures(trainer: Trainer, oracle: Oracle, folder: Path) -> list[Path]:
    """Write pictures of what a trained model does to test images.

    They are `manipulation.png`, `repeated.png`, `confusion.png` and the numbers of the latter,
    `confusion.csv`. A model with a partition for each factor adds `traversals.png` and `swaps.png`,
    and ours `partitions.png`. The same model gives the same files.

    Returns:
        The files. The function creates their folder.

    Raises:
        UserError: A file cannot be written.
    """
    written: list[Path] = []

    def head_and_path(name: str) -> tuple[Head, Path]:
        written.append(folder / f"{name}.png")
        return Head.of(trainer.config, CAPTIONS[name]), written[-1]

    kind = trainer.config.model.kind
    rows = {"manipulation": relation_rows, "repeated": repeated_rows}
    if kind in BY_FACTOR:
        rows |= {"traversals": traversal_rows, "swaps": swap_rows}
    for name, rows_of in rows.items():
        write_rows(*rows_of(trainer), *head_and_path(name))
    if kind == "modular":
        write_partitions(trainer, *head_and_path("partitions"))
    found = confusions(trainer, oracle.to(trainer.device))
    write_confusion(found, *head_and_path("confusion"))
    table = folder / "confusion.csv"
    write_confusion_table(found, table)
    return [*written, table]
