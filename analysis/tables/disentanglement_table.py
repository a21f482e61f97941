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
    PREVIOUS,
    TableRow,
    build_table,
    count_unconfirmed,
    score_columns,
    select_rows,
)
from analysis.tables.rendering import (
    ABOVE,
    Format,
    format_count,
    format_score,
    write_notes,
    write_table,
)
from weakdis_core.paper import DATA_SETS, Published, Scores, ScoresRow
from weakdis_core.version import CODE_VERSION

METRICS = {
    "converted": {
        "dci": "test/dci_disentanglement_converted",
        "mig": "test/mig_converted",
        "sap": "test/sap_converted",
    },
    "raw": {"dci": "test/dci_disentanglement_raw", "mig": "test/mig_raw", "sap": "test/sap_raw"},
    "by partition": {"dci": "test/dci_disentanglement_partition"},
}
"""Forms of the codes, and the metrics behind each one's scores."""

SCORES = ("dci", "mig", "sap")

# What perfect codes score on the very rows of a run.
_OWN_CEILING = {"mig": "test/mig_ceiling", "sap": "test/sap_ceiling"}

# Rows that the scores were fitted on; DCI of raw codes, being slow, on fewer.
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
    """What perfect codes, the factor values themselves, score on a variant."""

    dci: float
    mig: float
    sap: float


def measure_ceilings() -> dict[str, Ceiling]:
    """The ceilings of the variants shown, measured once and kept in the cache: fifteen seconds."""
    # Brings torch, which no other table needs.
    from weakdis_core.data.official import cache_root

    measured = Memory(cache_root() / "ceilings", verbose=0).cache(_measure_ceiling)
    return {
        variant: Ceiling(*measured(variant, CODE_VERSION, sklearn.__version__))
        for variant in DATA_SETS.values()
    }


def _measure_ceiling(variant: str, code: int, version: str) -> tuple[float, float, float]:
    """DCI, MIG and SAP of perfect codes, by all that they depend on."""
    from weakdis_core.metrics.ceilings import dci_ceiling, mig_ceiling, sap_ceiling

    return dci_ceiling(variant), mig_ceiling(variant), sap_ceiling(variant)


def build_table2(
    runs: pd.DataFrame, published: Published, ceiling: Mapping[str, Ceiling]
) -> pd.DataFrame:
    """Collect the disentanglement scores of the paper, ours, and what perfect codes would get.

    Returns:
        Columns `TABLE2`. For each data set of the paper: its rows as published; for the variant
        beside it and each of our rows (`selection.table_rows`) one line a form of the codes, scores
        as `selection.row_of` gives them, and the ceiling on the same images; and the variant's mean
        ceiling.
    """
    ours = [row for row in select_rows(runs) if row.model != PREVIOUS]
    measured = [line for row in ours for line in _measured_lines(row)]
    lines: list[dict[str, Any]] = []
    for data_set, variant in DATA_SETS.items():
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
    """Write `build_table2`: CSV holds every number, the other formats what a reader needs."""
    table = build_table2(runs, published, ceiling)
    if form == "csv":
        return table.to_csv(index=False)
    shown = format_cells(table)
    notes = [
        *explain_table2(table, published),
        *write_notes(shown, count_unconfirmed(runs, DATA_SETS.values())),
    ]
    return write_table(shown, notes, form, "tab:disentanglement")


def format_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Write the cells of Table 2."""
    return pd.DataFrame([_format_row(row) for _, row in table.iterrows()])


def explain_table2(table: pd.DataFrame, published: Published) -> list[str]:
    """Explain the rows of Table 2 and say what they were measured on."""
    notes = [
        "DCI is its disentanglement. Converted: each code is replaced by the factor value it is "
        "read as, as the paper does. Raw: the codes themselves. By partition: raw codes, "
        "importances summed within each partition, which MIG and SAP cannot do. ± is half the "
        "width of the 95% t-interval over seeds.",
        f"Rows of dSprites and Shapes3D are quoted from {published.cite()}, which names no variant "
        "and gives no interval.",
        "Perfect codes are the factor values themselves: their scores are the ceiling of converted "
        "codes, first on the images of our runs (with Data), then as a mean over draws from the "
        "variant. Their SAP depends on the draw.",
    ]
    if table["sap_above_ceiling"].eq(True).any():
        notes.append(
            f"{ABOVE} Above what perfect codes score on the variant beside it: measured in another "
            "way, and not comparable."
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
    """Our row, one line a form of the codes, and the ceiling on the same images."""
    # Metrics that every seed has in common.
    common = row.runs.reindex(columns=list(_ROWS.values())).mean()
    fitted = {name: float(common[metric]) for name, metric in _ROWS.items()}
    lines = [
        {**row.numbers(of), "method": row.model, "codes": codes, **fitted}
        for codes, of in METRICS.items()
    ]
    # Converted codes are quick to fit.
    lines[0]["dci_train_rows"] = fitted["train_rows"]
    ceiling = {**row.numbers(_OWN_CEILING), "method": PERFECT, "codes": "converted"}
    if ceiling["sap_seeds"]:
        lines.append({**ceiling, "train_rows": fitted["train_rows"]})
    return lines


def _format_row(row: pd.Series[Any]) -> dict[str, str]:
    quoted = pd.notna(row["citation"])
    scores = {name: format_score(row, name) for name in SCORES}
    if quoted:
        # As transcribed: rounding is not ours to do.
        scores = {name: str(row[name]) for name in SCORES}
        scores["sap"] += f" {ABOVE}" if row["sap_above_ceiling"] else ""
    return {
        "Data set": _NAMES[row["data_set"]] if quoted else str(row["variant"]),
        "Method": str(row["method"]),
        "Codes": format_count(row["codes"]),
        "Data": format_count(row["source"]),
        "Labels": format_count(row["labels"]),
        "Seeds": format_count(row["seeds"]),
        **{name.upper(): text for name, text in scores.items()},
    }


def _measured_on(row: pd.Series[Any]) -> str:
    return (
        f"{row['variant']} ({row['source']}), {row['method']}: config {row['config_hash']}, "
        f"{format_count(row['train_rows'])} train rows "
        f"({format_count(row['dci_train_rows'])} for DCI of raw codes), core {format_count(row['core'])}, "
        f"scikit-learn {row['sklearn']}."
    )
