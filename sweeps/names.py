"""Objectives, and the names of the metrics by which trials are compared."""

from __future__ import annotations

from typing import Literal

from optuna.distributions import BaseDistribution

Objective = Literal["pixels", "latent", "encoded", "pareto"]

Space = dict[str, BaseDistribution]
"""The settings that a search draws, by dotted name, with their ranges."""

KINDS = ("latent", "encoded", "pixels")
"""Kinds of relation accuracy, in the order of tables."""

# Metric of each objective; pareto has the number of labels as a second one.
METRICS: dict[Objective, str] = {
    "pixels": "val/relation_accuracy_pixels",
    "latent": "val/relation_accuracy_latent",
    "encoded": "val/relation_accuracy_encoded",
    "pareto": "val/relation_accuracy_pixels",
}

# Decoded pictures get right last, so half-way pixel accuracy is noise. What the encoder reads off
# after the relation is a limit of it, and shows early.
RUNG_METRICS: dict[Objective, str] = {
    "pixels": "val/relation_accuracy_encoded",
    "latent": "val/relation_accuracy_latent",
    "encoded": "val/relation_accuracy_encoded",
    "pareto": "val/relation_accuracy_encoded",
}
