"""Declarations of table rows: each is one configuration trained on several seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from weakdis_core import paper
from weakdis_core.config.config import Config
from weakdis_core.config.settings import WITHOUT_PRIOR, LabelDraw, ModelKind, Source
from weakdis_core.presets import learning_rates, preset
from weakdis_core.run_key import RunKey, Versions

Disentanglement = Literal["none", "converted", "raw"]

VARIANTS = tuple(row.variant for row in paper.load().table1)
"""The variants of the paper's tables."""

SEEDS = (11, 12, 13, 14, 15)
"""Training seeds of our rows. Training seed 10 + k has data seed k (`data_seed_of`), because with
few labels their draw matters more than the training seed."""

PRESET_SEEDS = range(4)
"""Training seeds on which we chose the presets, on data seed 0. No table shows them."""

FEWER_SEEDS = SEEDS[:3]
"""Training seeds of the baselines, the ablation, even draws of labels and own pictures."""

LABELS = (30, 100, 300, 1000, 3000)
"""Sizes of the labelled subset in the label curve."""

FEW_SIZES, CHOSEN_SIZES = (30, 100, 1000), (30, 100)
"""Sizes of the labelled subset that is drawn at random, for all variants (`LABEL_VARIANTS` have all
of `LABELS`), and of the chosen one, for `LABEL_VARIANTS`."""

LABEL_VARIANTS = CONTROL_VARIANTS = ("dsprites_v4", "shapes3d_v3")
"""Variants of the label curve, and of the controls."""

PREVIOUS = "previous work"
"""Name of the previous work's model in tables. Other baselines have the name of their kind."""

BASELINE_SIZES = (100, 1000)
"""Sizes of the labelled subset of the baselines without a prior."""

LONGER = 10
"""Factor on the steps of one row of each baseline, on `LITERAL_VARIANT`, which shows whether it
lacks time."""

OWN_EXAMPLES: dict[str, dict[str, Any]] = {
    "people": {"data.labels": 480},
    "digits": {},
    "shapes3d_v3_tenth": {},
    "dsprites_v4_files": {"data.labels": 1000},
    "shapes3d_v3_files": {"data.labels": 1000},
}
"""Data sets of the study of own pictures (`make reproduce-own` writes and adds them), with the
settings that differ from the preset. The oracle reads all train labels, the model only these."""

LITERAL_VARIANT = "dsprites_v4"
"""Variant of the run with the paper's literal objective."""

LITERAL: dict[str, Any] = {
    "data.labels": 100,
    "model.hidden": 256,
    "model.discriminator_width": 256,
    "model.relational_width": 256,
    "training.steps": 1500,
    "training.warmup": 0.1,
    "training.batch_size": 64,
    "training.learning_rate": 1e-3,
    "training.discriminator_learning_rate": 1e-3,
    "training.relational_learning_rate": 3e-3,
    "training.evaluations": 4,
}
"""Settings that train the literal objective in two core-minutes: small networks, few steps, higher
rates. With few labels the mean codes of a factor that is not encoded differ by chance, which is
enough for a high latent accuracy.
"""


@dataclass(frozen=True)
class DeclaredRun:
    """A training run that a study declares.

    Attributes:
        row: Name of its table row, such as `dsprites_v4, 30 random labels`.
        config: Its settings, including the training seed.
        disentanglement: Codes for DCI, MIG and SAP: none, converted to factor values, or also raw
            (which takes minutes).
    """

    row: str
    config: Config
    disentanglement: Disentanglement = "none"

    @property
    def variant(self) -> str:
        """The data set variant."""
        return self.config.data.variant

    def key(self, versions: Versions | None = None) -> RunKey:
        """Return the run's key under the given versions (default: this process's)."""
        return RunKey.of(self.config, versions)


Row = tuple[DeclaredRun, ...]
"""Runs that differ only in their training seed, or also in their data seed."""


def data_seed_of(seed: int, source: Source) -> int:
    """Return the data seed of a training seed: k for 10 + k.

    We chose the presets on data seed 0, whose test images we sometimes saw. Another seed draws
    other images of Shapes3D; of dSprites only the split and the labels differ. `docs/results.md`
    lists the choices that we made later. All runs of own pictures have data seed 1, because their
    oracles take minutes.
    """
    return 1 if source == "own" else max(0, seed - 10)


def row_of(
    name: str, config: Config, seeds: Iterable[int], disentanglement: Disentanglement = "none"
) -> Row:
    """Declare a row: one configuration on several training seeds, each with its data seed."""
    source = config.data.source
    pairs = ({"seed": seed, "data.data_seed": data_seed_of(seed, source)} for seed in seeds)
    return tuple(DeclaredRun(name, config.with_values(pair), disentanglement) for pair in pairs)


def with_seeds(row: Row, seeds: Iterable[int]) -> Row:
    """Return a row on other training seeds."""
    return row_of(row[0].row, row[0].config, seeds, row[0].disentanglement)


def ours(variant: str, source: Source, seeds: Iterable[int] = SEEDS) -> Row:
    """Declare our row of the paper's tables: the default preset."""
    config = preset("default", variant)
    # Own pictures have a source of their own.
    if not config.data.description:
        config = config.with_values({"data.source": source})
    codes: Disentanglement = "raw" if variant in paper.DATA_SETS.values() else "converted"
    return row_of(variant, config, seeds, codes)


def own_example(variant: str) -> Row:
    """Declare a row of the study of own pictures.

    Raises:
        UserError: The data set is not on this machine.
    """
    return row_of(
        variant, ours(variant, "own")[0].config.with_values(OWN_EXAMPLES[variant]), FEWER_SEEDS
    )


def with_labels(variant: str, source: Source, labels: int, draw: LabelDraw = "random") -> Row:
    """Declare a row with a size and a draw of the labelled subset; an even draw has fewer seeds."""
    full = ours(variant, source)
    changes = {"data.labels": labels, "data.label_draw": draw}
    config = full[0].config.with_values(changes)
    if config == full[0].config:
        return full
    seeds = FEWER_SEEDS if draw == "even" else SEEDS
    return row_of(f"{variant}, {labels or 'all'} {draw} labels", config, seeds)


def previous_work(variant: str, source: Source) -> dict[int, Row]:
    """Declare the rows of the previous work's model, by number of labels: the paper's and ours."""
    config = preset("default", variant, "monolithic").with_values({"data.source": source})
    quoted = {row.variant: row.previous_work.labels for row in paper.load().table1}
    rows = {}
    for labels in (quoted[variant], config.data.labels):
        name = f"{variant}, previous work, {labels} labels"
        rows[labels] = row_of(name, config.with_values({"data.labels": labels}), FEWER_SEEDS)
    return rows


def baseline(
    variant: str, source: Source, model: ModelKind, labels: int, longer: bool = False
) -> Row:
    """Declare a row of a baseline without a prior.

    A longer one has `LONGER` times the steps and one seed.
    """
    config = preset("default", variant, model).with_values(
        {"data.source": source, "data.label_draw": "random", "data.labels": labels}
    )
    codes: Disentanglement = "raw" if variant in paper.DATA_SETS.values() else "none"
    name = f"{variant}, {model}, {labels} random labels"
    if not longer:
        return row_of(name, config, FEWER_SEEDS, codes)
    config = config.with_values({"training.steps": LONGER * config.training.steps})
    return row_of(f"{name}, {LONGER} times the steps", config, SEEDS[:1], codes)


def baselines(variant: str, source: Source) -> dict[str, list[Row]]:
    """Declare the rows of all baselines, by the name of the model in tables."""
    found = {PREVIOUS: list(previous_work(variant, source).values())}
    for model in WITHOUT_PRIOR:
        found[model] = [baseline(variant, source, model, labels) for labels in BASELINE_SIZES]
        if variant == LITERAL_VARIANT:
            longer = baseline(variant, source, model, BASELINE_SIZES[-1], longer=True)
            found[f"{model}, {LONGER} times the steps"] = [longer]
    return found


def shuffled(variant: str, source: Source) -> Row:
    """Declare a control: labels permuted between their images."""
    config = ours(variant, source)[0].config.with_values({"data.shuffle_labels": True})
    return row_of(f"{variant}, labels shuffled", config, SEEDS[:1])


def untrained(variant: str, source: Source) -> Row:
    """Declare a control: initial weights."""
    # A vanishing learning rate keeps the weights; the steps fit the priors, which scores need.
    steps = {"training.steps": 10, "training.evaluations": 1, "training.ramp_steps": 0}
    config = ours(variant, source)[0].config.with_values(learning_rates(1e-12) | steps)
    return row_of(f"{variant}, untrained", config, SEEDS[:1])


def literal(source: Source) -> Row:
    """Declare a control: the paper's objective without additions. Its encoder learns little."""
    config = preset("paper", LITERAL_VARIANT).with_values(LITERAL | {"data.source": source})
    return row_of(f"{LITERAL_VARIANT}, literal objective", config, SEEDS[:1])
