"""The paper's tables, measured: rows of cells in, frames of text out. A missing number is `-`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.disentanglement_table import Ceiling
from analysis.text import ABOVE, NOTHING, mean
from reproduction import cells
from reproduction.cells import Row
from reproduction.evidence import Evidence
from weakdis_core.paper import DATA_SETS, Published, ScoresRow
from weakdis_core.settings import Source

ACCURACIES = {
    "Latent": "relation_accuracy_latent",
    "Encoded": "relation_accuracy_encoded",
    "Pixels": "relation_accuracy_pixels",
    "Factors": "factor_accuracy",
}
"""The accuracies of every table, and the scores behind them."""

PSNR = "reconstruction_psnr"
MANIPULATED = "manipulation_psnr"
SWAPPED = "swap_psnr"
ALIGNED = "manipulation_psnr_aligned"
NUISANCE = "nuisance_kept"
ORACLE, SOFTENED = "oracle_accuracy", "oracle_accuracy_softened"
CEILING = "identifiability_ceiling"

READINGS = {
    "ours, codes converted to factor values": "converted",
    "ours, raw codes": "raw",
    "ours, raw codes by partition": "partition",
}
"""How codes are given to the metrics of Table 2, and the scores' ending."""


def number(value: float, digits: int = 3) -> str:
    """A single number, `-` where there is none."""
    return NOTHING if np.isnan(value) else f"{value:.{digits}f}"


def cell_text(evidence: Evidence, row: Row, metric: str, digits: int = 3) -> str:
    """A metric's mean over the seeds of a row."""
    return mean(evidence.interval(row, metric), len(row), digits)


def accuracies(evidence: Evidence, row: Row) -> dict[str, str]:
    """The four accuracies of a row."""
    return {name: cell_text(evidence, row, metric) for name, metric in ACCURACIES.items()}


def oracle(evidence: Evidence, row: Row, softened: bool = False) -> str:
    """The accuracy of the judge behind the pixel accuracies of a row: one judge, so no interval."""
    return number(evidence.interval(row, SOFTENED if softened else ORACLE).value)


def summary(evidence: Evidence, source: Source, published: Published) -> pd.DataFrame:
    """What the README shows: the paper's accuracies, and ours with the stricter ones."""
    rows = []
    for quoted in published.table1:
        old, new = quoted.previous_work, quoted.this_work
        rows.append(
            {
                "Variant": quoted.variant,
                "Previous work (labels)": f"{old.accuracy:.3f} ({old.labels})",
                "Paper (labels)": f"{new.accuracy:.3f} ({new.labels})",
                **accuracies(evidence, cells.ours(quoted.variant, source)),
                "Oracle": oracle(evidence, cells.ours(quoted.variant, source)),
            }
        )
    return pd.DataFrame(rows)


def table1(evidence: Evidence, source: Source, published: Published) -> pd.DataFrame:
    """Latent relation accuracy: the paper's columns beside what was measured here.

    Where the previous work's model owns some of the combinations only, their share stands behind.
    """
    rows = []
    for quoted in published.table1:
        ours = cells.ours(quoted.variant, source)
        labels = ours[0].config.data.labels
        previous = cells.previous_work(quoted.variant, source)
        old, new = quoted.previous_work, quoted.this_work
        latent = {
            n: cell_text(evidence, row, ACCURACIES["Latent"]) + _share(evidence, row)
            for n in (old.labels, labels)
            for row in (previous.get(n, ()),)
        }
        rows.append(
            {
                "Variant": quoted.variant,
                "Combinations": f"{quoted.combinations}",
                "Previous work, published (labels)": f"{old.accuracy:.3f} ({old.labels})",
                "as many labels, measured": latent[old.labels],
                f"{labels} labels, measured": latent[labels],
                "Modular, published (labels)": f"{new.accuracy:.3f} ({new.labels})",
                f"Ours, {labels} labels": cell_text(evidence, ours, ACCURACIES["Latent"]),
            }
        )
    return pd.DataFrame(rows)


def _share(evidence: Evidence, row: Row) -> str:
    covered = evidence.interval(row, "coverage").value
    return f" (of {covered:.3f})" if covered < 1 else ""


def on_images(evidence: Evidence, source: Source) -> pd.DataFrame:
    """The stricter accuracies beside the latent one, of our model and the previous work's."""
    rows = []
    for variant in cells.VARIANTS:
        previous = cells.previous_work(variant, source).values()
        models = [("ours", cells.ours(variant, source))]
        models += [("previous work", row) for row in previous]
        for model, row in models:
            covered = evidence.interval(row, "coverage").value
            rows.append(
                {
                    "Variant": variant,
                    "Model": model,
                    "Labels": f"{row[0].config.data.labels}",
                    "Covered": number(1.0 if model == "ours" else covered),
                    **accuracies(evidence, row),
                    "Factors, ceiling": number(evidence.interval(row, CEILING).value),
                    "Oracle": oracle(evidence, row),
                    "Oracle, softened": oracle(evidence, row, softened=True),
                    "Seeds": f"{len(evidence.runs([row]))}",
                }
            )
    return pd.DataFrame(rows)


def each_seed(evidence: Evidence, rows: Sequence[Row]) -> pd.DataFrame:
    """Every finished model of some rows, one a line and once; empty without any."""
    lines, shown = [], set()
    for row in rows:
        columns = {name: evidence.values(row, metric) for name, metric in ACCURACIES.items()}
        names = (PSNR, "cpu_seconds", ORACLE)
        psnr, seconds, judge = (evidence.values(row, name) for name in names)
        for i, cell in enumerate(row):
            if evidence.has(cell) and cell not in shown:
                shown.add(cell)
                lines.append(
                    {
                        "Model": cell.name,
                        "Seed": f"{cell.config.seed}",
                        **{name: number(values[i]) for name, values in columns.items()},
                        "Oracle": number(judge[i]),
                        "PSNR, dB": number(psnr[i], 1),
                        "Core-seconds": number(seconds[i], 0),
                    }
                )
    return pd.DataFrame(lines)


def table2(
    evidence: Evidence, source: Source, published: Published, family: str, ceiling: Ceiling
) -> pd.DataFrame:
    """DCI, MIG and SAP of a family: the published rows unchanged, ours, and the ceilings."""
    row = cells.ours(DATA_SETS[family], source)
    rows = [_quoted(each, published, family, ceiling) for each in published.table2]
    for reading, end in READINGS.items():
        scores = {"DCI": "dci_disentanglement", "MIG": "mig", "SAP": "sap"}
        shown = {name: cell_text(evidence, row, f"{m}_{end}") for name, m in scores.items()}
        rows.append({"Method": reading, **shown})
    own = {m.upper(): cell_text(evidence, row, f"{m}_ceiling") for m in ("mig", "sap")}
    rows.append({"Method": "perfect codes, same images as ours", "DCI": NOTHING, **own})
    best = {name.upper(): number(value) for name, value in vars(ceiling).items()}
    rows.append({"Method": "perfect codes, mean over draws", **best})
    return pd.DataFrame(rows)


def _quoted(row: ScoresRow, published: Published, family: str, ceiling: Ceiling) -> dict[str, str]:
    cited = {"Method": f"{row.method} ({published.references[row.reference].year}), published"}
    for name, value in getattr(row, family).model_dump().items():
        above = name == "sap" and value > ceiling.sap
        cited[name.upper()] = f"{value:g} {ABOVE}" if above else f"{value:g}"
    return cited
