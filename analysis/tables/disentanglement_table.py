"""Table 2: disentanglement scores of the paper and ours. Frames in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sklearn
from joblib import Memory

from analysis.data.selection import (
    DESCRIPTION,
    TableRow,
    build_table,
    count_unconfirmed,
    score_columns,
    select_rows,
)
from analysis.tables.rendering import (
    ABOVE,
    Format,
    format_score,
    format_subset,
    format_value,
    write_notes,
    write_table,
)
from weakdis_core.paper import DATA_SETS, Published, Scores, ScoresRow
from weakdis_core.rows import PREVIOUS
from weakdis_core.version import CODE_VERSION

METRICS = {
    "converted": {
        "dci": "test/dci_disentanglement_converted",
        "mig": "test/mig_converted",
        "sap": "test/sap_converted",
        "infom": "test/infom_converted",
        "infoe": "test/infoe_converted",
        "infoc": "test/infoc_converted",
    },
    "raw": {
        "dci": "test/dci_disentanglement_raw",
        "mig": "test/mig_raw",
        "sap": "test/sap_raw",
        "infom": "test/infom_raw",
        "infoe": "test/infoe_raw",
        "infoc": "test/infoc_raw",
    },
    "by partition": {"dci": "test/dci_disentanglement_partition"},
}
"""Forms of the codes, and the metric of each score."""

SCORES = {
    "dci": "DCI", "mig": "MIG", "sap": "SAP", "infom": "InfoM", "infoe": "InfoE", "infoc": "InfoC"
}  # fmt: skip
"""The scores by name, with their heads."""

# Scores of perfect codes on the rows of a run.
_OWN_CEILING = {name: f"test/{name}_ceiling" for name in SCORES if name != "dci"}

# Number of rows that the scores were fitted on; DCI of raw codes is slow and uses fewer.
_ROWS = {
    "train_rows": "test/disentanglement_train_rows",
    "dci_train_rows": "test/dci_raw_train_rows",
}

PERFECT = "perfect codes"
_NAMES = {"dsprites": "dSprites", "shapes3d": "Shapes3D"}

_HEAD, _TAIL = ("data_set", "method", "codes"), ("sap_above_ceiling", "citation")
TABLE2 = (*_HEAD, *DESCRIPTION[1:], *_ROWS, *score_columns(SCORES), *_TAIL)
"""Columns of Table 2."""


@dataclass(frozen=True)
class Ceiling:
    """Scores of perfect codes, the factor values themselves, on a variant."""

    dci: float
    mig: float
    sap: float
    infom: float
    infoe: float
    infoc: float


def measure_ceilings() -> dict[str, Ceiling]:
    """Measure the ceilings of the shown variants, in fifteen seconds; later calls use the cache."""
    # Imports torch, which no other table needs.
    from weakdis_core.data.official import cache_root

    measured = Memory(cache_root() / "ceilings", verbose=0).cache(_measure_ceiling)
    return {
        variant: Ceiling(*measured(variant, CODE_VERSION, sklearn.__version__))
        for variant in DATA_SETS.values()
    }


def _measure_ceiling(variant: str, code: int, version: str) -> tuple[float, ...]:
    # `code` and `version` are keys of the cache.
    from weakdis_core.metrics import ceilings

    infomec = ceilings.infomec_ceiling(variant).values()
    measures = (ceilings.dci_ceiling, ceilings.mig_ceiling, ceilings.sap_ceiling)
    return (*(measure(variant) for measure in measures), *infomec)


def build_table2(
    runs: pd.DataFrame, published: Published, ceiling: Mapping[str, Ceiling]
) -> pd.DataFrame:
    """Build Table 2 from the disentanglement scores of the paper, ours, and the ceilings.

    Returns:
        Columns `TABLE2` (see `TableRow.summarize`). Each data set has the published rows, then the
        rows of its variant in `selection.select_rows`, with one line for each form of the codes and
        one for the ceiling on the same images, then the mean ceiling of the variant.
    """
    ours = [row for row in select_rows(runs) if row.model != PREVIOUS]
    measured = [line for row in ours for line in _measured_lines(row)]
    lines: list[dict[str, Any]] = []
    for data_set, variant in DATA_SETS.items():
        if variant not in ceiling:
            continue
        best = ceiling[variant]
        own = [
            *(_quote(row, data_set, published, best) for row in published.table2),
            *(line for line in measured if line["variant"] == variant),
            {"variant": variant, "method": PERFECT, "codes": "converted", **vars(best)},
        ]
        lines += [{"data_set": data_set, **line} for line in own]
    return build_table(lines, TABLE2)


def write_table2(
    runs: pd.DataFrame, published: Published, form: Format, ceiling: Mapping[str, Ceiling]
) -> str:
    """Write Table 2, of the variants that have a ceiling; only CSV has every number."""
    table = build_table2(runs, published, ceiling)
    shown = format_cells(table)
    notes = [
        *explain_table2(table, published),
        *write_notes(shown, count_unconfirmed(runs, ceiling)),
    ]
    return write_table(table, shown, notes, form, "tab:disentanglement")


def format_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Format the cells of Table 2, without scores that only the ceilings have."""
    shown = pd.DataFrame([_format_row(row) for _, row in table.iterrows()])
    absent = [name for name in SCORES if table[table["method"].ne(PERFECT)][name].isna().all()]
    return shown.drop(columns=[SCORES[name] for name in absent])


def explain_table2(table: pd.DataFrame, published: Published) -> list[str]:
    """Explain the rows of Table 2 and list what they were measured on."""
    notes = [
        "DCI means DCI disentanglement. Converted: each code is replaced by the factor value that "
        "it is read as, as in the paper. Raw: the codes themselves. By partition: raw codes, with "
        "importances summed within each partition, which the other scores do not allow. ± is half "
        "the width of the 95% t-interval over seeds.",
        f"Rows of dSprites and Shapes3D are quoted from {published.cite()}, which names no variant "
        "and gives no intervals. The quoted MIG and SAP are very probably swapped: Gabbay et al. "
        "have a SAP of 1 on Shapes3D, but a linear classifier of one code does not separate the "
        "ten values of a factor, so perfect codes have less.",
        "few_labels and zerodim: the models of Locatello et al. and Gabbay et al., trained here. "
        "Raw codes of zerodim are the mean embeddings of the factors without the residual code, as "
        "published.",
        "Perfect codes are the factor values themselves; their scores are the ceiling of converted "
        "codes. The row with Data is measured on the images of our runs, the other one is a mean "
        "over draws from the variant. Their SAP depends on the draw.",
    ]
    if table["sap_above_ceiling"].eq(True).any():
        notes.append(
            f"{ABOVE} Higher than the score of perfect codes on the variant beside it, so it was "
            "measured differently and is not comparable."
        )
    return notes + [_measured_on(row) for _, row in table[table["codes"].eq("raw")].iterrows()]


def _quote(row: ScoresRow, data_set: str, published: Published, best: Ceiling) -> dict[str, Any]:
    scores: Scores = getattr(row, data_set)
    reference = published.references[row.reference]
    return {
        "method": f"{row.method} ({reference.year})",
        "citation": reference.cite(),
        "sap_above_ceiling": scores.sap > best.sap,
        **scores.model_dump(),
    }


def _measured_lines(row: TableRow) -> list[dict[str, Any]]:
    """Build a line for each form of the codes, and one for the ceiling on the same images."""
    # The same for every seed.
    common = row.runs.reindex(columns=list(_ROWS.values())).mean()
    fitted = {name: float(common[metric]) for name, metric in _ROWS.items()}
    lines = [
        {**row.summarize(of), "method": row.model, "codes": codes, **fitted}
        for codes, of in METRICS.items()
    ]
    # DCI of converted codes is fast and uses all rows.
    lines[0]["dci_train_rows"] = fitted["train_rows"]
    ceiling = {**row.summarize(_OWN_CEILING), "method": PERFECT, "codes": "converted"}
    if ceiling["sap_seeds"]:
        lines.append({**ceiling, "train_rows": fitted["train_rows"]})
    return lines


def _format_row(row: pd.Series[Any]) -> dict[str, str]:
    quoted = pd.notna(row["citation"])
    scores = {name: format_score(row, name) for name in SCORES}
    if quoted:
        # As published, without rounding.
        scores = {name: format_value(row[name]) for name in SCORES}
        scores["sap"] += f" {ABOVE}" if row["sap_above_ceiling"] else ""
    return {
        "Data set": _NAMES[row["data_set"]] if quoted else str(row["variant"]),
        "Method": str(row["method"]),
        "Codes": format_value(row["codes"]),
        "Data": format_value(row["source"]),
        "Labels": format_subset(row),
        "Seeds": format_value(row["seeds"]),
        **{SCORES[name]: text for name, text in scores.items()},
    }


def _measured_on(row: pd.Series[Any]) -> str:
    train_rows, dci_rows, core = map(format_value, row[["train_rows", "dci_train_rows", "core"]])
    return (
        f"{row['variant']} ({row['source']}), {row['method']}: config {row['config_hash']}, "
        f"{train_rows} train rows ({dci_rows} for DCI of raw codes), core {core}, "
        f"scikit-learn {row['sklearn']}."
    )
