"""All pictures of a trained model, under names that are the same for every run."""

from pathlib import Path

from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import relation_rows, repeated_rows, swap_rows, traversal_rows
from weakdis_core.pictures.confusion import confusions, write_confusion, write_confusion_table
from weakdis_core.pictures.grid import write_rows
from weakdis_core.pictures.partitions import write_partitions
from weakdis_core.training.trainer import Trainer

FOLDER = "pictures"
"""Where a run's pictures lie: in its folder, and among its artifacts."""

CAPTIONS: dict[str, str] = {
    "manipulation": (
        "Test images, what the autoencoder makes of them, and the images after each relation, "
        "applied once."
    ),
    "repeated": (
        "Test images after a relation applied once, twice and so on, each time to the code that "
        "came out before. Framed: where the factor has come full circle, and the reconstruction "
        "should be back; beside it, how far it is from that (root mean square over pixels in "
        "[0, 1])."
    ),
    "traversals": (
        "Test images with one partition, the row's, replaced by the mean of the component of each "
        "value of its factor. Framed: the value that the image has."
    ),
    "swaps": (
        "Pairs of test images A and B, and A with a single partition, the column's, taken from B."
    ),
    "partitions": (
        "Codes of test images in each partition, on the plane in which they vary most, marked by "
        "the true value of the factor. Ellipses: the components of the prior at two standard "
        "deviations, numbered by value where there is room."
    ),
    "confusion": (
        "How often a value (row) is read as another (column). Above, a panel for each factor: the "
        "encoder reads test images. Below, for each relation: an oracle reads the affected factor "
        "of the decoded image after it. Rows without images are blank."
    ),
}
"""What each picture shows, by the name of its file without the ending."""


def write_pictures(trainer: Trainer, oracle: Oracle, folder: Path) -> list[Path]:
    """Write the pictures of a trained model, all from test images.

    `manipulation.png`, `repeated.png` and `confusion.png` with its numbers, `confusion.csv`; of a
    modular model also `traversals.png`, `swaps.png` and `partitions.png`. A monolithic model has
    one code for the whole image, and so no partitions to traverse, swap or map.

    Nothing is drawn at random: the same model gives the same files.

    Returns:
        The files written. Their folder is made if missing.

    Raises:
        UserError: A file cannot be written.
    """
    written: list[Path] = []

    def head_and_path(name: str) -> tuple[Head, Path]:
        written.append(folder / f"{name}.png")
        return Head.of(trainer.config, CAPTIONS[name]), written[-1]

    modular = trainer.config.model.kind == "modular"
    rows = {"manipulation": relation_rows, "repeated": repeated_rows}
    if modular:
        rows |= {"traversals": traversal_rows, "swaps": swap_rows}
    for name, rows_of in rows.items():
        write_rows(*rows_of(trainer), *head_and_path(name))
    if modular:
        write_partitions(trainer, *head_and_path("partitions"))
    found = confusions(trainer, oracle.to(trainer.device))
    write_confusion(found, *head_and_path("confusion"))
    table = folder / "confusion.csv"
    write_confusion_table(found, table)
    return [*written, table]
