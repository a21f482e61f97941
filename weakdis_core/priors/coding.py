"""What the components of the latent partitions stand for, and where relations lead from them."""

import torch
from torch import Tensor

from weakdis_core.priors.prior import Prior
from weakdis_core.relations import RelationTable


class Coding:
    """Factor values as components of partitions, and back.

    "Coded" partitions are those with a component for something; nuisance partitions follow them.
    This is the modular model's coding: a partition for each factor, a component for each of its
    values. Other models' codings override what differs.

    Args:
        relations: The variant's relations.

    Attributes:
        n_components: Components of each coded partition.
        affected: Coded partition that each relation affects, `(relations,)`.
    """

    n_components: tuple[int, ...]

    def __init__(self, relations: RelationTable) -> None:
        self.relations = relations
        self.n_components = tuple(relations.n_values.tolist())
        self.affected = relations.factor

    def components(self, values: Tensor) -> Tensor:
        """Components `(n, coded)` of factor values `(n, factors)`; -1 where there is none."""
        return values

    def values(self, components: Tensor) -> Tensor:
        """Factor values `(n, factors)` that components `(n, coded)` stand for."""
        return components

    def read(self, prior: Prior, codes: Tensor) -> Tensor:
        """Factor values `(n, factors)` of the most likely components of codes."""
        return self.values(prior.classify(codes)[:, : len(self.n_components)])

    def target(self, components: Tensor, relation: Tensor) -> Tensor:
        """Components `(n, coded)` after a relation `(n,)` each, -1 where there is none."""
        return self.relations.apply(components, relation)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Components drawn uniformly, `(n, coded)`."""
        return self.relations.sample_values(n, generator)

    def sample_starts(self, n: int, generator: torch.Generator) -> Tensor:
        """The same, of those alone from which some relation leads to a component."""
        return self.sample(n, generator)

    def sample_relations(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """A relation for each row, `(n,)`, uniformly of those that lead to a component."""
        return self.relations.sample(len(components), generator)

    def evaluation_draw(
        self, true: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What relation accuracy is measured on.

        Args:
            true: `(n, factors)` factor values of the images.
            generator: Source of the draws.

        Returns:
            `(n, factors)` values to sample codes of, `(n,)` a relation for each of them, and
            `(n,)` a relation for each image: here the same.
        """
        relation = self.relations.sample(len(true), generator)
        return self.values(self.sample(len(true), generator)), relation, relation

    def judged(self, values: Tensor, relation: Tensor) -> Tensor:
        """Whether relations `(n,)` applied to values `(n, factors)` can be judged, `(n,)`.

        They can where there is a component to start from and one to meet: here everywhere.
        """
        return torch.ones_like(relation, dtype=torch.bool)

    def coverage(self, judged: Tensor) -> dict[str, float]:
        """Metrics of how much has a component at all; none where everything has.

        Args:
            judged: `(images,)` which of the evaluated images are judged.
        """
        return {}
