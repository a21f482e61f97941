"""The label curve: accuracies against the number of labels."""

from __future__ import annotations

import altair as alt
import pandas as pd
import vl_convert

from analysis.data.declared import DeclaredRows
from analysis.figures.charts import BLUE, GREEN, INK, ORANGE, styled
from analysis.tables.study_tables import ACCURACIES
from weakdis_core.config.settings import Source
from weakdis_core.paper import Published
from weakdis_core.rows import LABEL_VARIANTS, LABELS, with_labels

_DRAWN = {"Latent": BLUE, "Pixels": ORANGE, "Factors": GREEN}
_PUBLISHED = "Latent, published"


def draw_labels(declared: DeclaredRows, source: Source, published: Published) -> bytes:
    """Draw accuracies against the number of random labels, with one panel for each variant.

    A diamond marks the paper's latent accuracy.

    Returns:
        A PNG file; equal numbers give equal bytes.
    """
    points = pd.DataFrame(
        {"variant": variant, "labels": size, "score": name}
        | vars(declared.interval(with_labels(variant, source, size), ACCURACIES[name]))
        for variant in LABEL_VARIANTS
        for size in LABELS
        for name in _DRAWN
    )
    paper = pd.DataFrame(
        {"variant": row.variant, "labels": row.this_work.labels, "score": _PUBLISHED,
         "value": row.this_work.accuracy}
        for row in published.table1 if row.variant in LABEL_VARIANTS
    )  # fmt: skip
    names, colors = [*_DRAWN, _PUBLISHED], [*_DRAWN.values(), INK]
    base = alt.Chart(pd.concat([points, paper])).encode(
        alt.X("labels:Q").scale(type="log", nice=False, padding=10).axis(values=LABELS),
        alt.Y("value:Q", title="accuracy on test").scale(domain=[0, 1]),
        alt.Color("score:N").scale(domain=names, range=colors),
    )
    own = base.transform_filter(f"datum.score != '{_PUBLISHED}'")
    quoted = base.transform_filter(f"datum.score == '{_PUBLISHED}'")
    # A single seed has no interval.
    widths = own.transform_filter("isValid(datum.low)").mark_rule(clip=True)
    chart = alt.layer(
        own.mark_line(point=True),
        widths.encode(y="low:Q", y2="high:Q"),
        quoted.mark_point(shape="diamond", filled=True, size=150),
    ).properties(width=420, height=300)
    spec = styled(chart.facet(column=alt.Column("variant:N", title=None))) | {"background": "white"}
    return vl_convert.vegalite_to_png(spec)
