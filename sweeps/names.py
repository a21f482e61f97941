"""The objectives of a search and the metrics by which it compares trials."""

from typing import TYPE_CHECKING, TypeAlias

# Optuna takes a moment to load, and flags are read before.
if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SHEET = "manipulation"
"""Name in MLflow of the pictures of a trial, one for each report."""

Space: TypeAlias = "dict[str, BaseDistribution]"
"""The distributions that a search draws settings from, by dotted name."""

KINDS = ("latent", "encoded", "pixels")
"""Kinds of relation accuracy, in the order of tables."""

# pareto has the number of labels as a second metric.
METRICS: dict[str, str] = {
    "pixels": "val/relation_accuracy_pixels",
    "latent": "val/relation_accuracy_latent",
    "encoded": "val/relation_accuracy_encoded",
    "pareto": "val/relation_accuracy_pixels",
}

# Decoded pictures become right last, so pixel accuracy is noise halfway. The accuracy of encoded
# values bounds it from above and rises early.
RUNG_METRICS: dict[str, str] = {
    **METRICS, "pixels": METRICS["encoded"], "pareto": METRICS["encoded"],
}  # fmt: skip
