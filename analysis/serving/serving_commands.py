"""`weakdis manipulate` and `explore`: a trained model on pictures."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from analysis.data.store import resolve_uri
from analysis.serving.model_address import find_checkpoint
from weakdis_core.cli.arguments import (
    DataDir,
    NumberOfImages,
    PictureFile,
    RelationName,
    SetValues,
    Times,
    UserPicture,
)
from weakdis_core.cli.console import run_function

Store = Annotated[
    str | None,
    arg(
        metavar="URI",
        help="MLflow store to read.",
        help_behavior_hint="(default: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db)",
    ),
]
Address = Annotated[
    str,
    arg(
        aliases=("--checkpoint",),
        metavar="ADDRESS",
        help="Address of a model: models:/weakdis-dsprites_v4@best (or /VERSION), runs:/RUN_ID, "
        "or a checkpoint's file or folder.",
    ),
]


def manipulate(
    model: Address,
    image: UserPicture = None,
    relation: RelationName = None,
    times: Times = 1,
    values: SetValues = (),
    output: PictureFile = Path("manipulation.png"),
    images: NumberOfImages = 8,
    data_dir: DataDir = None,
    tracking_uri: Store = None,
) -> None:
    """Read the factor values of a picture, and draw it after values are set and after relations.

    $ weakdis manipulate --model models:/weakdis-dsprites_v4@best --image FILE --relation move_left
    $ weakdis manipulate --model runs/best/checkpoint.pt --image FILE --set shape=heart --set posX=0
    $ weakdis manipulate --checkpoint runs/train/checkpoint.pt
    """
    # Imports torch, which tables do not need.
    from weakdis_core.cli.model_commands import manipulate_images

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = find_checkpoint(model, resolve_uri(tracking_uri), Path(folder))
        flags = (image, relation, times, values, output, images, data_dir)
        manipulate_images(checkpoint, *flags, name=model)


def explore(
    model: Address,
    image: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="Picture to start with: PNG, JPEG, GIF, WebP.",
            help_behavior_hint="(default: a random picture of the model)",
        ),
    ] = None,
    port: Annotated[int, arg(help="Port of the page.")] = 8000,
    tracking_uri: Store = None,
) -> None:
    """Serve a page with a slider or choice for each factor; only this machine reaches it.

    $ weakdis explore --model models:/weakdis-dsprites_v4@best --image FILE
    """
    # Imports torch, which tables do not need.
    from analysis.serving.explorer import HOST, Explorer, listen, serve
    from weakdis_core.cli.model_commands import read_file
    from weakdis_core.model import load

    with listen(port) as listening:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = find_checkpoint(model, resolve_uri(tracking_uri), Path(folder))
            explorer = Explorer(load(checkpoint), None if image is None else read_file(image))
        if explorer.first["warning"]:
            print(f"warning: {explorer.first['warning']}", file=sys.stderr)
        print(f"{explorer.seconds() * 1000:.1f} ms for a changed picture (median of 20)")
        print(f"http://{HOST}:{port}\nCtrl-C ends it", flush=True)
        serve(explorer, listening)


def run_manipulate(args: Sequence[str], prog: str) -> None:
    """Run `weakdis manipulate`."""
    run_function(manipulate, args, prog=prog)


def run_explore(args: Sequence[str], prog: str) -> None:
    """Run `weakdis explore`."""
    run_function(explore, args, prog=prog)
