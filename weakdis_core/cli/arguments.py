"""Flags that several commands share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

DataDir = Annotated[
    Path | None,
    arg(
        metavar="FOLDER",
        help="Folder of the official files, searched first.",
        help_behavior_hint="(default: none)",
    ),
]
RelationName = Annotated[
    str, arg(metavar="NAME", help="Name of a relation, such as move_left, or all.")
]
PictureFile = Annotated[Path, arg(metavar="FILE", help="PNG file to write.")]
NumberOfImages = Annotated[int, arg(help="Number of test images.")]
