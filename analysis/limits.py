"""What a report's numbers do not say, said plainly."""

from __future__ import annotations

import pandas as pd

from analysis.sweep import Sweep

_ORACLE = "test/oracle_accuracy"
_CEILING = "test/identifiability_ceiling"


def limits(sweep: Sweep) -> list[str]:
    """The limits of a sweep's numbers, a sentence or two each."""
    found = []
    if sweep.source == "rendered":
        found.append(
            "The images are drawn by this package on the grids of the official data sets. They "
            "are close to the official images but not the same, so that no number here can be "
            "compared with a published one as if they were."
        )
    judge, ceiling = _known(sweep, _ORACLE), _known(sweep, _CEILING)
    judged = (
        f"Here it reads {judge:.4f} of clean test images right."
        if judge is not None
        else "How often it is right is measured when the best trial is evaluated on test."
    )
    found.append(
        "Pixel accuracies are judged by a classifier, the oracle, trained with all labels. "
        f"{judged} No model can be seen to do better than its judge."
    )
    if ceiling is not None:
        found.append(
            f"Images that look the same under different factor values cannot be told apart by "
            f"anyone: the best reader of this variant's images is right on {ceiling:.4f} of them."
        )
    if sweep.confirmed.empty:
        found.append(
            "Nothing was confirmed: all scores are of one seed, and the best of many tries on "
            "validation flatters itself."
        )
    found.append(
        "Latent accuracy, the paper's, starts from codes drawn from the prior. A model whose "
        "encoder reads a factor at chance can score well; encoded and pixel accuracies cannot be "
        "had that way."
    )
    return found


def _known(sweep: Sweep, metric: str) -> float | None:
    """A metric of the data, which all runs that have it have in common."""
    runs = pd.concat([sweep.confirmed, sweep.trials])
    found = runs.get(metric, pd.Series(dtype=float)).dropna()
    return float(found.iloc[0]) if len(found) else None
