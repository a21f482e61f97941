"""The meaning of the components of latent partitions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from weakdis_core.config.description import Kind
from weakdis_core.priors.prior import Prior
from weakdis_core.relations import RelationTable


class Coding:
    """Maps factor values to components of partitions, and back.

    This class is the modular model's coding: one coded partition for each factor, with a component
    for each of its values, and then the nuisance partitions. Other models override what differs.

    Args:
        relations: The variant's relations.
        kinds: Kind of each factor; by default categorical.

    Attributes:
        n_components: Components of each coded partition.
        kinds: Whether these have an order.
        affected: Coded partition that each relation affects, `(relations,)`.
    """

    n_components: tuple[int, ...]
    kinds: tuple[Kind, ...]

    def __init__(self, relations: RelationTable, kinds: Sequence[Kind] = ()) -> None:
        self.relations = relations
        self.n_components = tuple(relations.n_values.tolist())
        self.kinds = tuple(kinds) if kinds else tuple("categorical" for _ in self.n_components)
        self.affected = relations.factor

    def components(self, values: Tensor) -> Tensor:
        """Return components `(n, coded)` of factor values `(n, factors)`; -1 where none exists."""
        return values

    def values(self, components: Tensor) -> Tensor:
        """Return the factor values `(n, factors)` of components `(n, coded)`."""
        return components

    def read(self, prior: Prior, codes: Tensor) -> Tensor:
        """Return the factor values `(n, factors)` of the most likely components of codes."""
        return self.values(prior.classify(codes)[:, : len(self.n_components)])

    def target(self, components: Tensor, relation: Tensor) -> Tensor:
        """Return components `(n, coded)` after relations `(n,)`; -1 where none exists."""
        return self.relations.apply(components, relation)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw components uniformly, `(n, coded)`."""
        return self.relations.sample_values(n, generator)

    def sample_starts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw components from which at least one relation leads to a component."""
        return self.sample(n, generator)

    def sample_relations(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """Draw for each row one of the relations that lead to a component, `(n,)`."""
        return self.relations.sample(len(components), generator)

    def evaluation_draw(
        self, true: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the values and relations on which relation accuracy is measured.

        Args:
            true: `(n, factors)` factor values of the images.
            generator: Source of the draws.

        Returns:
            Values `(n, factors)` to sample codes of, and relations `(n,)` of these and of images.
        """
        relation = self.relations.sample(len(true), generator)
        return self.values(self.sample(len(true), generator)), relation, relation

    def judged(self, values: Tensor, relation: Tensor) -> Tensor:
        """Check whether values have a component before and after their relations `(n,)`."""
        return torch.ones_like(relation, dtype=torch.bool)

    def coverage(self, judged: Tensor) -> dict[str, float]:
        """Return metrics of coverage; none where every combination has a component.

        Args:
            judged: `(images,)` whether each evaluated image is judged.
        """
        return {}
