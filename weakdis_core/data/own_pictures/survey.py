"""What a prepared data set holds: pictures, factors, labels, duplicates and combinations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variant import UNKNOWN

_LISTED = 12


def describe_factors(prepared: Prepared) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, kind, values with their numbers of pictures, and labels of each factor."""
    total = len(prepared.factors)
    for column, factor in zip(prepared.factors.T, prepared.variant.factors, strict=True):
        known = column[column != UNKNOWN]
        counts = np.bincount(known, minlength=factor.n_values).tolist()
        pairs = zip(factor.value_names, counts, strict=True)
        shown = [f"{name} ({count:,})" for name, count in pairs]
        if len(shown) > _LISTED:
            shown = [*shown[:_LISTED], f"... {len(shown)} values"]
        share = f"{len(known):,} ({len(known) / total:.0%})"
        yield factor.name, factor.kind, ", ".join(shown), share


def describe_content(prepared: Prepared) -> Iterator[str]:
    """Yield lines about the pictures, the duplicates and the combinations of factor values."""
    variant, total = prepared.variant, len(prepared.images)
    colours = "grey" if variant.channels == 1 else "RGB"
    yield f"{total:,} pictures, {colours}, {variant.size} x {variant.size} pixels"
    copies = total - len(np.unique(prepared.digests))
    if copies:
        yield f"duplicates: {copies:,} pictures equal another one; they share its split"
    known = prepared.factors[(prepared.factors != UNKNOWN).all(axis=1)]
    present = len(np.unique(known, axis=0))
    yield (
        f"combinations: {present:,} of {variant.n_combinations:,} occur, by the {len(known):,} "
        "pictures whose every factor is labelled"
    )
