"""The previous work's model: one code for the whole image, a component for each combination.

Valenti and Bacciu, "Leveraging Relational Information for Learning Weakly Disentangled
Representations" (arXiv 2205.10056), reference [2] of the paper. It is the modular model with one
partition, whose factor is the combination of all factor values. A combination without a labelled
image has no component; relations that lead to it are neither learnt nor judged.
"""

import torch
from torch import Tensor

from weakdis_core.errors import UserError
from weakdis_core.priors.coding import Coding
from weakdis_core.relations import RelationTable


class CombinationCoding(Coding):
    """One partition, whose components are the combinations of the labelled subset.

    A combination with a component is called owned.

    Args:
        labelled: `(labels, factors)` factor values of the labelled subset.
        relations: The variant's relations.

    Raises:
        UserError: No relation leads from one of the combinations to another.
    """

    def __init__(self, labelled: Tensor, relations: RelationTable) -> None:
        super().__init__(relations)
        n_values, device = relations.n_values, labelled.device
        self._strides = n_values.flip(0).cumprod(0).flip(0) // n_values
        self._combinations = int(n_values.prod())
        owned = self._flat(labelled).unique()
        self.n_components, self.kinds = (len(owned),), ("categorical",)
        self.affected = torch.zeros_like(relations.factor)
        self._values: Tensor = owned.unsqueeze(1) // self._strides % n_values
        self._component = torch.full((self._combinations,), -1, device=device)
        self._component[owned] = torch.arange(len(owned), device=device)
        # `(components, relations)`: the component after each relation, or -1.
        start = self._values.repeat_interleave(len(relations), 0)
        every = torch.arange(len(relations), device=device).repeat(len(owned))
        after = self._component[self._flat(relations.apply(start, every))]
        self._target: Tensor = after.unflatten(0, (-1, len(relations)))
        self._starts: Tensor = (self._target >= 0).any(1).nonzero().squeeze(1)
        if not len(self._starts):
            raise UserError(
                f"data.labels: {len(labelled)} is not enough: they own {len(owned)} of "
                f"{self._combinations} combinations, and no relation leads from one to another"
            )

    def components(self, values: Tensor) -> Tensor:
        """Return components `(n, 1)` of factor values `(n, factors)`; -1 if not owned."""
        return self._component[self._flat(values)].unsqueeze(1)

    def values(self, components: Tensor) -> Tensor:
        """Return the factor values `(n, factors)` of components `(n, 1)`."""
        return self._values[components[:, 0]]

    def target(self, components: Tensor, relation: Tensor) -> Tensor:
        """Return components `(n, 1)` after relations `(n,)`; -1 if not owned."""
        return self._target[components[:, 0], relation].unsqueeze(1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw components uniformly, `(n, 1)`."""
        return self._draw(self.n_components[0], n, generator).unsqueeze(1)

    def sample_starts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw components from which at least one relation leads to a component, `(n, 1)`."""
        return self._starts[self._draw(len(self._starts), n, generator)].unsqueeze(1)

    def sample_relations(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """Draw for each row one of the relations that lead to a component, `(n,)`.

        Rows without such a relation or without a component, which are not judged, receive any.
        """
        component = components[:, 0]
        leads = (self._target[component] >= 0) & (component >= 0).unsqueeze(1)
        leads |= ~leads.any(1, keepdim=True)
        return torch.multinomial(leads.float(), 1, generator=generator).squeeze(1)

    def evaluation_draw(
        self, true: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw values and relations as in training, and relations for the images."""
        starts = self.sample_starts(len(true), generator)
        relation = self.sample_relations(starts, generator)
        images = self.sample_relations(self.components(true), generator)
        return self.values(starts), relation, images

    def judged(self, values: Tensor, relation: Tensor) -> Tensor:
        """Check whether values have a component before and after their relations `(n,)`."""
        after = self.relations.apply(values, relation)
        return (self.components(values)[:, 0] >= 0) & (self.components(after)[:, 0] >= 0)

    def coverage(self, judged: Tensor) -> dict[str, float]:
        """Return metrics of how much of the variant the labelled subset covers.

        Returns:
            `coverage`: share of all combinations that are owned. `relation_coverage`: share of the
            relations from owned combinations that lead to owned ones. `images_judged`: number of
            images behind the encoded and pixel accuracies.
        """
        return {
            "coverage": self.n_components[0] / self._combinations,
            "relation_coverage": float((self._target >= 0).float().mean()),
            "images_judged": float(judged.sum()),
        }

    def _flat(self, values: Tensor) -> Tensor:
        return (values * self._strides).sum(1)

    def _draw(self, high: int, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(high, (n,), generator=generator, device=self._strides.device)
