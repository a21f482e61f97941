"""What a report's numbers do not say, said plainly."""

from __future__ import annotations

import pandas as pd

from analysis.sweep import Sweep

_ORACLE = "test/oracle_accuracy"


def limits(sweep: Sweep) -> list[str]:
    """The limits of a sweep's numbers, a sentence or two each."""
    found = []
    if sweep.source == "rendered":
        found.append(
            "The images are drawn by this package on the grids of the official data sets. They "
            "are close to the official images but not the same, so that no number here can be "
            "compared with a published one as if they were."
        )
    scores = pd.concat([sweep.confirmed, sweep.trials]).get(_ORACLE, pd.Series(dtype=float))
    known = scores.dropna()
    judge = (
        f"Here it reads {known.iloc[0]:.4f} of clean test images right."
        if len(known)
        else "How often it is right is measured when the best trial is evaluated on test."
    )
    found.append(
        f"Pixel accuracies are judged by a classifier, the oracle, trained with all labels. {judge}"
        " No model can be seen to do better than its judge."
    )
    found.append(
        "The oracle's accuracy is also a ceiling on what images allow: two that look the same "
        "under different factor values cannot be told apart by anyone."
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
