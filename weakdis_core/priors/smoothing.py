"""Smooth means of ordered factor values (an addition): neighbours share what their labels show.

The means of a factor's components minimise the squared distances to the labelled codes plus a
penalty on second differences along the values (Whittaker, 1923; Eilers, 2003, "A perfect
smoother"). With many labels of each value they are the means of the labelled codes. A value
without a label receives the mean that continues those of its neighbours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from weakdis_core.config.description import Kind

# A factor of which one value has labels has this one mean, instead of none.
_FIRST_DIFFERENCES = 1e-3


def roughness(kinds: Sequence[Kind], n_values: Sequence[int]) -> Tensor:
    """Return the penalty of each factor's means, a quadratic form `(factors, values, values)`.

    It is zero for categorical factors and padding.

    Args:
        kinds: Kind of each factor.
        n_values: Number of values of each factor; the largest is `values`.
    """
    penalty = torch.zeros(len(n_values), max(n_values), max(n_values))
    for factor, (kind, n) in enumerate(zip(kinds, n_values, strict=True)):
        if kind == "categorical":
            continue
        eye = torch.eye(n)
        first = torch.roll(eye, -1, 0) - eye
        second = torch.roll(eye, -1, 0) - 2 * eye + torch.roll(eye, 1, 0)
        if kind == "ordinal":
            first, second = first[:-1], second[1:-1]
        penalty[factor, :n, :n] = second.T @ second + _FIRST_DIFFERENCES * first.T @ first
    return penalty


def smooth(counts: Tensor, means: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
    """Smooth the means of labelled codes.

    Args:
        counts: `(factors, values)` labels of each value.
        means: `(factors, values, latent)` their means; any number where there is no label.
        penalty: `(factors, values, values)` the `roughness`, times its strength in labels.

    Returns:
        The smooth means, and the number of free parameters of each factor, `(factors,)`: from its
        number of labelled values (no penalty) down to that of a straight line, 2.
    """
    system = torch.diag_embed(counts) + penalty
    # Without a label and without neighbours, the mean is 0.
    alone = system.diagonal(dim1=-2, dim2=-1) == 0
    hat = torch.linalg.solve(system + torch.diag_embed(alone.to(system)), torch.diag_embed(counts))
    return hat @ means, hat.diagonal(dim1=-2, dim2=-1).sum(-1)
