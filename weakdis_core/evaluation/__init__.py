"""Relation accuracies of a model, and the oracle that judges decoded pictures."""
