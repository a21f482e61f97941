"""Metrics: arrays in, numbers out."""

from weakdis_core.metrics.accuracy import (
    FactorAccuracy,
    RelationAccuracy,
    factor_accuracy,
    relation_accuracy,
)
from weakdis_core.metrics.ceilings import (
    RAW_ROWS,
    TEST_ROWS,
    TRAIN_ROWS,
    dci_ceiling,
    identifiability_ceiling,
    mig_ceiling,
    sap_ceiling,
)
from weakdis_core.metrics.importance import DCI, Importances, dci, importances
from weakdis_core.metrics.mutual_information import mig, modularity
from weakdis_core.metrics.separability import sap

__all__ = [
    "DCI",
    "RAW_ROWS",
    "TEST_ROWS",
    "TRAIN_ROWS",
    "FactorAccuracy",
    "Importances",
    "RelationAccuracy",
    "dci",
    "dci_ceiling",
    "factor_accuracy",
    "identifiability_ceiling",
    "importances",
    "mig",
    "mig_ceiling",
    "modularity",
    "relation_accuracy",
    "sap",
    "sap_ceiling",
]
