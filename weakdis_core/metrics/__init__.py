"""Metrics: arrays in, numbers out."""

from weakdis_core.metrics.accuracy import (
    FactorAccuracy,
    RelationAccuracy,
    factor_accuracy,
    relation_accuracy,
)

__all__ = ["FactorAccuracy", "RelationAccuracy", "factor_accuracy", "relation_accuracy"]
