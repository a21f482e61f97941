"""Flags that several commands share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

DataDir = Annotated[
    Path | None,
    arg(
        metavar="FOLDER",
        help="Folder of the official files, searched first.",
        help_behavior_hint="(default: none)",
    ),
]
RelationName = Annotated[
    str | None,
    arg(
        metavar="NAME",
        help="Name of a relation, such as move_left, or all.",
        help_behavior_hint="(default: all, with --set none)",
    ),
]
Times = Annotated[int, arg(help="How often to apply the relation.")]
SetValues = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(
        name="set",
        metavar="FACTOR=VALUE",
        help="Set a factor to a value, by its name or index, before the relation. Repeat the flag "
        "for more factors.",
        help_behavior_hint="(default: none)",
    ),
]
PictureFile = Annotated[Path, arg(metavar="FILE", help="PNG file to write.")]
NumberOfImages = Annotated[int, arg(help="Number of test images.")]
UserPicture = Annotated[
    Path | None,
    arg(
        metavar="FILE",
        help="Picture of any size: PNG, JPEG, GIF, WebP. It is first converted to the model's "
        "images: grey or RGB, of their size, with its aspect kept.",
        help_behavior_hint="(default: test images)",
    ),
]
