"""`python -m weakdis_core train` and `manipulate`: one configuration, without Ray."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from weakdis_core.cli import console
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.splits import shuffled, split
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle, prepare_oracle
from weakdis_core.files import write_text
from weakdis_core.manipulation import load_networks, manipulate
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import write_manipulation
from weakdis_core.pictures.write import FOLDER, write_pictures
from weakdis_core.presets import PresetName, preset
from weakdis_core.scores.scoring import score_on_test
from weakdis_core.training.objectives import TrainingDiverged
from weakdis_core.training.trainer import Report, Trainer

_SHOWN = ("factor_accuracy", *(f"relation_accuracy_{k}" for k in ("latent", "encoded", "pixels")))


@dataclass(frozen=True)
class Start:
    """Where the settings come from, before single ones are changed."""

    variant: str = ""
    """Data set variant: dsprites_v2 v3 v4, shapes3d_v2 v3 v5. With --config, the file's."""
    preset: PresetName | None = None
    """default (what works), paper (the literal objective, for a GPU) or quick (a minute)."""
    model: ModelKind | None = None
    """modular (by default) or monolithic, the previous work's. With --config, the file's."""
    config: Path | None = None
    """Settings from a file, such as a sweep's best.yaml, instead of a preset."""

    def start(self) -> Config:
        """The settings to start from.

        Raises:
            UserError: No variant is named, a preset beside a file, or another variant or model
                than the file's.
        """
        if self.config is None:
            if not self.variant:
                raise UserError("variant: none given; say --variant NAME or --config FILE")
            return preset(self.preset or "default", self.variant, self.model or "modular")
        if self.preset is not None:
            raise UserError(f"preset: {self.preset!r}, but the settings come from {self.config}")
        config = Config.load(self.config)
        if self.variant not in ("", config.data.variant):
            raise UserError(
                f"variant: {self.variant!r}, but {self.config} is of {config.data.variant}"
            )
        if self.model not in (None, config.model.kind):
            raise UserError(f"model: {self.model!r}, but {self.config} is of {config.model.kind}")
        return config


@dataclass(frozen=True)
class Train(Start):
    """Train one configuration and evaluate it once on test.

    Any setting can be changed by its flag; --help with a --variant shows that variant's values.
    """

    output: Path = Path("runs/train")
    """Folder for checkpoint.pt, config.yaml, metrics.json and pictures/."""
    resume: bool = False
    """Continue from the checkpoint in the output folder."""
    settings: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)
    """The experiment."""


def train(args: Sequence[str], prog: str) -> None:
    """Train one configuration.

    Raises:
        UserError: A setting or file is not as it must be.
    """
    command = _read_train(args, prog)
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
    # JSON has no NaN: undefined is null there.
    scores = {name: value if math.isfinite(value) else None for name, value in test.items()}
    write_text(output / "metrics.json", json.dumps(scores, indent=2) + "\n")
    write_pictures(trainer, oracle, output / FOLDER)
    out.print("test: " + ", ".join(f"{_words(name)} {test[name]:.3f}" for name in _SHOWN))
    if "coverage" in test:
        out.print(
            f"the labels own {test['coverage']:.3f} of the combinations; "
            f"encoded and pixels are over {test['images_judged']:.0f} images of them"
        )
    out.print(f"the judge of pixels reads {oracle.clean_accuracy:.3f} of test images right")
    out.print(f"written to {output}")


def _read_train(args: Sequence[str], prog: str) -> Train:
    """Two looks at the flags: the variant and preset give the defaults of all the others."""
    wanted = [flag for flag in args if flag in {"-h", "--help"}]
    rest = [flag for flag in args if flag not in wanted]
    first, _ = tyro.cli(Start, args=rest, return_unknown_args=True, add_help=False)
    if wanted and not first.variant and first.config is None:
        first = replace(first, variant="dsprites_v4")
    default = Train(**vars(first), settings=first.start())
    command = console.parse(Train, args, default=default, prog=prog)
    if command.settings.data.variant != default.settings.data.variant:
        raise UserError("data.variant: say --variant, which also chooses the preset's settings")
    if command.settings.model.kind != default.settings.model.kind:
        raise UserError("model.kind: say --model, which also chooses the preset's settings")
    return command


@dataclass(frozen=True)
class Manipulate:
    """Draw test images, their reconstructions, and the images after a relation."""

    checkpoint: Path
    """A checkpoint of train or of a sweep."""
    relation: str = "all"
    """Name of the relation, such as move_left, or all of the variant's."""
    output: Path = Path("manipulation.png")
    """The picture to write."""
    images: int = 8
    """Number of test images."""
    data_dir: Path | None = None
    """Folder of the official files, where they were used."""


def manipulate_command(args: Sequence[str], prog: str) -> None:
    """Write a picture of relations applied to test images.

    Raises:
        UserError: The checkpoint or the relation is not as it must be.
    """
    command = console.parse(Manipulate, args, prog=prog)
    if not 1 <= command.images <= 100:
        raise UserError(f"images: {command.images} is not allowed: from 1 to 100")
    config, networks = load_networks(command.checkpoint)
    with console.progress("images") as progress:
        prepared = prepare(config.data, command.data_dir or config.runtime.data_dir, progress)
    variant = prepared.variant
    names = variant.relation_names if command.relation == "all" else (command.relation,)
    test = split(prepared.digests, config.data.data_seed).test
    chosen = torch.from_numpy(shuffled(test, config.data.data_seed, "test")[: command.images])
    images = ImageBank(prepared, torch.device("cpu")).batch(chosen)
    result = manipulate(networks, variant, images, names)
    head = Head(f"{variant.name}, {command.checkpoint}: test images")
    write_manipulation(result, head, command.output)
    print(f"written to {command.output}")


def prepare_all(config: Config) -> tuple[Config, Prepared, Oracle]:
    """The images and the oracle that a configuration needs, made where they are missing.

    The source becomes part of the settings: `auto` might mean something else tomorrow.
    """
    with console.progress(f"{config.data.variant} images") as progress:
        prepared = prepare(config.data, config.runtime.data_dir, progress)
    torch.set_num_threads(config.runtime.threads)
    with console.progress(f"{config.data.variant} oracle") as progress:
        oracle = prepare_oracle(prepared, config.data, progress=progress)
    return config.with_values({"data.source": prepared.source}), prepared, oracle


def describe_report(report: Report) -> str:
    """A report in one line."""
    metrics = report.metrics
    parts = [
        f"step {report.step} ({report.stage}, {report.seconds:.0f} s)",
        f"reconstruction {metrics['train/reconstruction']:.1f} nats",
    ]
    shown = [name for name in _SHOWN if f"val/{name}" in metrics]
    return ", ".join(parts + [f"{_words(name)} {metrics[f'val/{name}']:.3f}" for name in shown])


def _words(name: str) -> str:
    return name.replace("relation_accuracy_", "").replace("_", " ")
