"""What a sweep needs before its first trial: images, oracle, and an experiment in MLflow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch

from sweeps.experiments import open_experiment, opened
from sweeps.settings import SweepSettings
from sweeps.stored import find
from weakdis_core.config import Config
from weakdis_core.console import progress
from weakdis_core.data.store import Prepared, prepare
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.metrics.oracle_cache import prepare_oracle


def prepare_sweep(
    settings: SweepSettings, variant: str, name: str
) -> tuple[Config, Prepared, Oracle]:
    """Make what is missing, and open it.

    Args:
        settings: What the user asked for.
        variant: The variant to search.
        name: Name of the sweep.

    Returns:
        The settings that all trials share, the images and the oracle.

    Raises:
        UserError: A setting, the data, or the tracking database is at fault.
    """
    base, resumed = settings.base_config(variant), settings.resume is not None
    if resumed:
        # The official files may lie elsewhere now; all else is as it began.
        base = find(settings, name).base.with_values(settings.places())
    with ThreadPoolExecutor(1) as other:
        # A new database takes seconds to make: meanwhile the data are prepared.
        known = resumed or settings.study is not None
        opening = other.submit(
            open_experiment, settings.tracking, variant, name, known, settings.folder
        )
        made = _prepare(base)
        opened(opening, settings.tracking)
    return made


def _prepare(base: Config) -> tuple[Config, Prepared, Oracle]:
    """Images and oracle of a variant, with the source resolved.

    The source becomes part of the settings: `auto` would say nothing in a table, and might mean
    something else tomorrow.
    """
    variant = base.data.variant
    with progress(f"images of {variant}") as advance:
        prepared = prepare(base.data, base.runtime.data_dir, advance)
    base = base.with_values({"data.source": prepared.source})
    with progress(f"oracle of {variant}") as advance:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        oracle = prepare_oracle(prepared, base.data, device, advance)
    return base, prepared, oracle
