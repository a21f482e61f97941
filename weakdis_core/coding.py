"""What the components of the latent partitions stand for, and where relations lead from them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from weakdis_core.relations import RelationTable


class Coding(Protocol):
    """Factor values as components of partitions, and back.

    "Coded" partitions are those with a component for something; nuisance partitions follow them.

    Attributes:
        n_components: Components of each coded partition.
        affected: Coded partition that each relation affects, `(relations,)`.
    """

    n_components: tuple[int, ...]
    affected: Tensor

    def components(self, values: Tensor) -> Tensor:
        """Components `(n, coded)` of factor values `(n, factors)`; -1 where there is none."""
        ...

    def values(self, components: Tensor) -> Tensor:
        """Factor values `(n, factors)` that components `(n, coded)` stand for."""
        ...

    def target(self, components: Tensor, relation: Tensor) -> Tensor:
        """Components `(n, coded)` after a relation `(n,)` each, -1 where there is none."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Components drawn uniformly, `(n, coded)`."""
        ...

    def sample_starts(self, n: int, generator: torch.Generator) -> Tensor:
        """The same, of those alone from which some relation leads to a component."""
        ...

    def sample_relations(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """A relation for each row, `(n,)`, uniformly of those that lead to a component."""
        ...

    def evaluation_draw(
        self, true: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What relation accuracy is measured on.

        Args:
            true: `(n, factors)` factor values of the images.
            generator: Source of the draws.

        Returns:
            `(n, factors)` values to sample codes of, `(n,)` a relation for each of them, and
            `(n,)` a relation for each image.
        """
        ...

    def judged(self, values: Tensor, relation: Tensor) -> Tensor:
        """Whether a relation applied to values has a component to start from and one to meet.

        Args:
            values: `(n, factors)` before the relation.
            relation: `(n,)`.

        Returns:
            `(n,)` booleans.
        """
        ...

    def coverage(self, judged: Tensor) -> dict[str, float]:
        """Metrics of how much has a component at all; none where everything has.

        Args:
            judged: `(images,)` which of the evaluated images are judged.
        """
        ...


class FactorCoding:
    """The modular model's: a partition for each factor, a component for each of its values.

    Args:
        relations: The variant's relations.
    """

    def __init__(self, relations: RelationTable) -> None:
        self.relations = relations
        self.n_components = tuple(relations.n_values.tolist())
        self.affected = relations.factor

    def components(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values

    def values(self, components: Tensor) -> Tensor:
        """The components themselves."""
        return components

    def target(self, components: Tensor, relation: Tensor) -> Tensor:
        """The affected factor's component moved, the others as they are."""
        return self.relations.apply(components, relation)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """A value of every factor, uniformly and independently."""
        return self.relations.sample_values(n, generator)

    def sample_starts(self, n: int, generator: torch.Generator) -> Tensor:
        """As `sample`: every relation leads somewhere."""
        return self.sample(n, generator)

    def sample_relations(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """Any relation, uniformly."""
        return self.relations.sample(len(components), generator)

    def evaluation_draw(
        self, true: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Uniform values, and one relation for the code and the image of a row."""
        relation = self.relations.sample(len(true), generator)
        return self.values(self.sample(len(true), generator)), relation, relation

    def judged(self, values: Tensor, relation: Tensor) -> Tensor:
        """All."""
        return torch.ones_like(relation, dtype=torch.bool)

    def coverage(self, judged: Tensor) -> dict[str, float]:
        """Nothing to report."""
        return {}
