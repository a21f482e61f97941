"""The flags of a declared study, and the names of studies."""

from collections.abc import Sequence
from pathlib import Path

from weakdis_core.config.settings import DataSettings, Source
from weakdis_core.errors import UserError
from weakdis_core.rows import PRESET_SEEDS
from weakdis_core.studies import StudyName
from weakdis_core.version import CODE_VERSION

STUDY_PREFIX = "study-"
"""Beginning of the name of each study's sweep."""

_ALLOWED = {
    "study", "variant", "seeds", "plan", "cpus_per_trial", "gpus_per_trial", "max_concurrent",
    "address", "storage", "optuna_storage", "tracking_uri", "data_dir", "data_source",
    "no_pictures",
}  # fmt: skip


def check_study(study: StudyName | None, seeds: Sequence[int] | None, given: set[str]) -> None:
    """Refuse flags of a search, and seeds that no table shows.

    Args:
        study: The study; None for a search.
        seeds: The training seeds; None for the declared ones.
        given: Names of the settings that differ from their defaults.

    Raises:
        UserError: A setting is not allowed.
    """
    if study is None:
        if seeds is not None:
            raise UserError("seeds: they are the seeds of a study; --study names it")
        return
    if fixed := sorted(given - _ALLOWED):
        raise UserError(
            f"{fixed[0].rstrip('_')}: it is not allowed with study: a study's runs are declared"
        )
    if chosen := sorted(set(seeds or ()) & set(PRESET_SEEDS)):
        raise UserError(
            f"seeds: {chosen[0]} is not allowed: the presets were chosen on seeds "
            f"{min(PRESET_SEEDS)} to {max(PRESET_SEEDS)}, and no table shows them"
        )


def study_name(study: StudyName, variant: str, source: Source, data_dir: Path | None) -> str:
    """Return the name of a study's sweep of a variant, with the core's version and data source.

    Raises:
        UserError: The source is official and there is no official file.
    """
    # Imports torch, which the flags do without.
    from weakdis_core.data.own import data_settings
    from weakdis_core.data.source import plan

    data = DataSettings.model_validate({"source": source} | data_settings(variant))
    found = plan(data, data_dir).source
    end = "" if found == "rendered" else f"-{found}"
    return f"{STUDY_PREFIX}{study}-{variant}-core{CODE_VERSION}{end}"
