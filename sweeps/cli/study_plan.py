"""The flag `--plan` of a study: which runs are missing, and how long they will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import joblib
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from analysis.data.archive import Archive, read_frame
from analysis.data.declared import is_on_cpu, select_untrained
from analysis.data.runs import select_finished
from sweeps.sweep_settings import SweepSettings
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.own import data_settings
from weakdis_core.data.source import plan as data_plan
from weakdis_core.data.variants import variant_of
from weakdis_core.rows import DeclaredRun
from weakdis_core.studies import declared_runs

# Core-seconds of a step of the default presets and of the scores, on one core of an Intel Xeon.
_STEP_SECONDS = {"dsprites": 0.035, "shapes3d": 0.09, "own": 0.2}
_SCORING_SECONDS = {"none": 5.0, "converted": 15.0, "raw": 90.0}


@dataclass(frozen=True)
class VariantPlan:
    """The work of a study on one variant.

    Attributes:
        variant: The variant.
        runs: Number of declared runs.
        missing: Number of runs without a result.
        stale: Number of runs whose result has other settings or versions.
        seconds: Estimated core-seconds of missing and stale runs.
    """

    variant: str
    runs: int
    missing: int
    stale: int
    seconds: float


def print_study_plan(settings: SweepSettings, console: Console) -> None:
    """Print the plan of a study, without starting anything.

    Raises:
        UserError: The store or the archive cannot be read, or a setting is not allowed.
    """
    cpus, gpus = joblib.cpu_count(), torch.cuda.device_count()
    if settings.address is not None and settings.gpus_per_trial:
        # The cluster, which is not joined yet, may have the GPUs asked for.
        gpus = max(gpus, 1)
    allotment = settings.allot({"CPU": float(cpus), "GPU": float(gpus)})
    scheme, _, database = settings.tracking.partition(":///")
    # Before the first sweep there is no store.
    begun = scheme != "sqlite" or Path(database).exists()
    runs = read_frame(settings.tracking) if begun else Archive().frame()
    console.print(_table(make_plan(settings, runs), allotment.concurrent))


def make_plan(settings: SweepSettings, runs: pd.DataFrame) -> list[VariantPlan]:
    """Plan a study, variant by variant.

    Args:
        settings: The flags; `study` is set.
        runs: The frame of `analysis.data.archive.read_frame`.

    Raises:
        UserError: The source is official and there is no official file.
    """
    assert settings.study is not None
    plans = []
    for variant in settings.variants:
        data = DataSettings.model_validate(
            {"source": settings.data_source} | data_settings(variant)
        )
        source = data_plan(data, settings.data_dir).source
        declared = declared_runs(settings.study, variant, source, settings.seeds)
        missing, stale = select_untrained(runs, declared)
        seconds = sum(estimate_seconds(run, runs) for run in missing + stale)
        plans.append(VariantPlan(variant, len(declared), len(missing), len(stale), seconds))
    return plans


def estimate_seconds(run: DeclaredRun, runs: pd.DataFrame) -> float:
    """Estimate the core-seconds of a run, training and scores.

    From earlier runs of its row, else from the seconds a step of those with its variant and kind of
    model, else from constants of the variant's family.
    """
    config, kind = run.config, run.config.model.kind
    known = select_finished(runs)
    # CPU seconds of runs on a GPU are no estimate for those on a CPU.
    timed = known[is_on_cpu(known)]
    same = timed[timed["row"].eq(run.row)]
    alike = same
    if same.empty and len(timed):
        alike = timed[timed["variant"].eq(run.variant) & timed["model.kind"].eq(kind)]
    steps, scoring = config.training.steps, _SCORING_SECONDS[run.disentanglement]
    if alike.empty:
        return steps * _STEP_SECONDS[variant_of(run.config.data).family] + scoring
    step = float((alike["cpu_seconds"] / alike["training.steps"]).mean())
    return steps * step + (float(same["scoring_seconds"].mean()) if len(same) else scoring)


def _table(plans: Sequence[VariantPlan], concurrent: int) -> Table:
    numbers = ("runs", "missing", "stale", "seconds")
    total = VariantPlan("all", *(sum(getattr(plan, name) for plan in plans) for name in numbers))
    table = Table("variant", box=None, title_justify="left", title="plan")
    for column in ("runs", "done", "missing", "stale", "core-hours"):
        table.add_column(column, justify="right")
    for plan in (*plans, total):
        done = plan.runs - plan.missing - plan.stale
        counts = map(str, (plan.runs, done, plan.missing, plan.stale))
        table.add_row(plan.variant, *counts, f"{plan.seconds / 3600:.1f}")
    to_do = total.missing + total.stale
    hours = ceil(to_do / concurrent) * total.seconds / 3600 / max(to_do, 1)
    table.caption = (
        f"{concurrent} at once: about {hours:.1f} hours" if to_do else "nothing left to train"
    )
    return table
