"""`python -m weakdis_core train` and `manipulate`: one configuration, without Ray."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from torch import Tensor
from tyro.conf import Suppress, arg

from weakdis_core import presets
from weakdis_core.cli import console
from weakdis_core.cli.arguments import (
    DataDir,
    NumberOfImages,
    PictureFile,
    RelationName,
    SetValues,
    Times,
    UserPicture,
)
from weakdis_core.cli.training_run import SHOWN, describe_report, prepare_all, words
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.picture_files import read_picture
from weakdis_core.data.prepared import prepare
from weakdis_core.data.splits import shuffled, splits_of
from weakdis_core.errors import UserError
from weakdis_core.files import write_text
from weakdis_core.model import WARNING, Model, Values, load
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import write_manipulation
from weakdis_core.pictures.manipulation import manipulate
from weakdis_core.pictures.write import FOLDER, write_pictures
from weakdis_core.presets import PresetName
from weakdis_core.scores.scoring import score_on_test
from weakdis_core.training.terms import TrainingDiverged
from weakdis_core.training.trainer import Trainer


@dataclass(frozen=True)
class Start:
    """The settings to start from."""

    variant: Annotated[str, arg(metavar="VARIANT")] = ""
    """Data set variant: dsprites_v2 v3 v4, shapes3d_v2 v3 v5. By default that of --config."""
    preset: PresetName | None = None
    """default (works well), paper (the literal objective, for a GPU), quick (a minute) or generic
    (for pictures of any kind)."""
    model: ModelKind | None = None
    """modular (default) or monolithic (the previous work's). By default that of --config."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """File of settings, such as a sweep's best.yaml, instead of a preset."""

    def load_settings(self) -> Config:
        """Return the settings of the file or preset.

        Raises:
            UserError: Neither variant nor file is given, or variant, preset or model contradict the
                file.
        """
        if self.config is None:
            if not self.variant:
                raise UserError("variant: none given; use --variant NAME or --config FILE")
            return presets.preset(self.preset or "default", self.variant, self.model or "modular")
        if self.preset is not None:
            raise UserError(f"preset: {self.preset!r}, but the settings come from {self.config}")
        config = Config.load(self.config)
        for name, wanted, found in (
            ("variant", self.variant, config.data.variant),
            ("model", self.model, config.model.kind),
        ):
            if wanted and wanted != found:
                raise UserError(f"{name}: {wanted!r}, but {self.config} is of {found}")
        return config


@dataclass(frozen=True)
class Train(Start):
    """Train one configuration and evaluate it once on test.

    Every setting has a flag. --help with --variant shows the values of that variant.

    $ weakdis train --variant dsprites_v4 --preset quick
    $ weakdis train --config runs/NAME/best.yaml --seed 1 --output runs/again
    """

    output: Annotated[Path, arg(metavar="FOLDER")] = Path("runs/train")
    """Folder for checkpoint.pt, config.yaml, metrics.json and pictures/."""
    resume: bool = False
    """Continue from the checkpoint in the output folder."""
    settings: Annotated[Config, arg(name="")] = field(default_factory=Config)
    """Settings of the experiment."""


def train(args: Sequence[str], prog: str) -> None:
    """Train one configuration.

    Raises:
        UserError: A setting is invalid, a file cannot be read or written, or training diverges.
    """
    command = _parse_train(args, prog)
    output = command.output
    checkpoint = output / "checkpoint.pt"
    if checkpoint.exists() and not command.resume:
        raise UserError(
            f"output: {checkpoint} exists; continue it with --resume or choose another --output"
        )
    config, prepared, oracle = prepare_all(command.settings)
    trainer = Trainer(config, prepared, oracle)
    if command.resume:
        trainer.load(checkpoint)
    config.save(output / "config.yaml")
    out = Console(soft_wrap=True, highlight=False)
    out.print(
        f"{config.data.variant}, {prepared.source} data, config {config.hash()}, "
        f"seed {config.seed}, {config.training.steps} steps on {trainer.device}"
    )
    try:
        for report in trainer.fit():
            trainer.save(checkpoint)
            out.print(describe_report(report))
    except TrainingDiverged as error:
        raise UserError(str(error)) from None
    test = score_on_test(trainer, oracle, prepared)
    # JSON has no NaN; undefined scores are null.
    scores = {name: value if math.isfinite(value) else None for name, value in test.items()}
    write_text(output / "metrics.json", json.dumps(scores, indent=2) + "\n")
    write_pictures(trainer, oracle, output / FOLDER)
    out.print("test: " + ", ".join(f"{words(name)} {test[name]:.3f}" for name in SHOWN))
    if "coverage" in test:
        out.print(
            f"the labels cover {test['coverage']:.3f} of the combinations; "
            f"encoded and pixels use {test['images_judged']:.0f} images of these"
        )
    out.print(f"accuracy of the oracle that classifies pixels: {oracle.clean_accuracy:.3f}")
    out.print(f"written to {output}")


def _parse_train(args: Sequence[str], prog: str) -> Train:
    """Parse the flags twice: those of `Start` give the defaults of all others."""
    wanted = [flag for flag in args if flag in {"-h", "--help"}]
    rest = [flag for flag in args if flag not in wanted]
    registry = console.settings_registry()
    first, _ = tyro.cli(
        Start, args=rest, return_unknown_args=True, add_help=False, registry=registry
    )
    if wanted and not first.variant and first.config is None:
        first = replace(first, variant="dsprites_v4")
    default = Train(**vars(first), settings=first.load_settings())
    command = console.parse(Train, args, default=default, prog=prog)
    given, start = command.settings.flat(), default.settings.flat()
    for name, flag in (("data.variant", "--variant"), ("model.kind", "--model")):
        if given[name] != start[name]:
            raise UserError(f"{name}: use {flag}, which also chooses the preset's settings")
    return command


def manipulate_command(args: Sequence[str], prog: str) -> None:
    """Read and change a picture or test images.

    Raises:
        UserError: The checkpoint or the picture cannot be read, or a flag is invalid.
    """
    console.run_function(manipulate_images, args, prog=prog)


def manipulate_images(
    checkpoint: Annotated[
        Path, arg(metavar="FILE", help="Checkpoint file of train or of a sweep.")
    ],
    image: UserPicture = None,
    relation: RelationName = None,
    times: Times = 1,
    values: SetValues = (),
    output: PictureFile = Path("manipulation.png"),
    images: NumberOfImages = 8,
    data_dir: DataDir = None,
    name: Suppress[str] = "",
) -> None:
    """Draw a picture or test images, their reconstructions, and the results of changes.

    $ python -m weakdis_core manipulate --checkpoint runs/train/checkpoint.pt
    $ python -m weakdis_core manipulate --checkpoint FILE --set scale=4 --set shape=heart
    """
    if not 1 <= images <= 100:
        raise UserError(f"images: {images} is not allowed: from 1 to 100")
    model = load(checkpoint)
    if image is not None:
        before, title = _read_picture(model, image), image.name
    else:
        before, title = _test_images(model.config, images, data_dir), "test images"
    every = relation == "all" or not (relation or values)
    relations = model.variant.relation_names if every else (relation,) if relation else ()
    columns = manipulate(model, before, relations, parse_values(values), times)
    head = Head(f"{model.variant.name}, {name or checkpoint}: {title}")
    write_manipulation(columns, head, output)
    print(f"written to {output}")


def parse_values(texts: Sequence[str]) -> Values:
    """Return the factor values of texts such as `scale=4`.

    Raises:
        UserError: A text has another form.
    """
    if wrong := [text for text in texts if "=" not in text]:
        raise UserError(f"set: {wrong[0]!r} is not allowed: FACTOR=VALUE is needed")
    pairs = (text.split("=", 1) for text in texts)
    return {factor.strip(): value.strip() for factor, value in pairs}


def read_file(path: Path) -> bytes:
    """Return the content of a user's picture file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"image: {path} cannot be read ({error.strerror})") from None


def _read_picture(model: Model, path: Path) -> Tensor:
    """Read a picture, and print how it was converted and what the model reads in it."""
    picture = read_picture(read_file(path), model.variant.channels, str(path), model.variant.size)
    if picture.changes:
        print(f"{path}: converted ({picture.changes})")
    codes = model.encode(picture.pixels)
    if model.is_unlike_training(codes)[0]:
        print(f"warning: {WARNING}", file=sys.stderr)
    for factor, read in model.read_codes(codes).items() if model.reads_factors else ():
        print(f"{factor}: {read.names[0]} ({read.probabilities.max():.3f})")
    return picture.pixels[None]


def _test_images(config: Config, n: int, data_dir: Path | None) -> Tensor:
    with console.progress("images") as progress:
        prepared = prepare(config.data, data_dir or config.runtime.data_dir, progress)
    test = splits_of(prepared, config.data.data_seed).test
    chosen = torch.from_numpy(shuffled(test, config.data.data_seed, "test")[:n])
    return ImageBank(prepared, torch.device("cpu")).batch(chosen)
