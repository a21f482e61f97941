"""The previous work's model: one code for the whole image, a component for each combination.

Valenti and Bacciu, "Leveraging Relational Information for Learning Weakly Disentangled
Representations" (arXiv 2205.10056), reference [2] of the paper. It is the modular model with one
partition whose single "factor" is the combination of all factor values. A combination without a
labelled image has no component: the model cannot name it, and relations that lead to it are
neither learnt nor judged.
"""

from typing import Any

import torch
from torch import Tensor

from weakdis_core.config.config import Config
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError
from weakdis_core.priors.coding import Coding
from weakdis_core.relations import RelationTable

# Code sizes of the authors' published code (its dSprites and Shapes3D have v2's and v3's factors).
_PUBLISHED_SIZE = {"dsprites": 8, "shapes3d": 16}


class CombinationCoding(Coding):
    """One partition; its components are the combinations that the labelled subset owns.

    Args:
        labelled: `(labels, factors)` factor values of the labelled subset.
        relations: The variant's relations.

    Raises:
        UserError: No relation leads from one of the combinations to another.
    """

    def __init__(self, labelled: Tensor, relations: RelationTable) -> None:
        super().__init__(relations)
        sizes = relations.n_values.tolist()
        strides = torch.tensor(sizes).flip(0).cumprod(0).flip(0) // torch.tensor(sizes)
        self._strides = strides.to(labelled.device)
        self._combinations = int(relations.n_values.prod())
        owned = self._flat(labelled).unique()
        self.n_components = (len(owned),)
        self.affected = torch.zeros_like(relations.factor)
        device = labelled.device
        self._values: Tensor = owned.unsqueeze(1) // self._strides % relations.n_values
        self._component = torch.full((self._combinations,), -1, device=device)
        self._component[owned] = torch.arange(len(owned), device=device)
        # Where each relation leads from each component, -1 where it leaves the owned ones.
        pairs = torch.cartesian_prod(
            torch.arange(len(owned), device=device), torch.arange(len(relations), device=device)
        )
        after = relations.apply(self._values[pairs[:, 0]], pairs[:, 1])
        self._target: Tensor = self._component[self._flat(after)].unflatten(0, (-1, len(relations)))
        self._starts: Tensor = (self._target >= 0).any(1).nonzero().squeeze(1)
        if not len(self._starts):
            raise UserError(
                f"data.labels: {len(labelled)} is not enough: they own {len(owned)} of "
                f"{self._combinations} combinations, and no relation leads from one to another"
            )

    def components(self, values: Tensor) -> Tensor:
        """Components `(n, 1)` of factor values `(n, factors)`; -1 for combinations not owned."""
        return self._component[self._flat(values)].unsqueeze(1)

    def values(self, components: Tensor) -> Tensor:
        """Factor values `(n, factors)` of components `(n, 1)`."""
        return self._values[components[:, 0]]

    def target(self, components: Tensor, relation: Tensor) -> Tensor:
        """Component `(n, 1)` of the combination after a relation, -1 where it is not owned."""
        return self._target[components[:, 0], relation].unsqueeze(1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Owned combinations drawn uniformly, `(n, 1)`."""
        return self._draw(self.n_components[0], n, generator).unsqueeze(1)

    def sample_starts(self, n: int, generator: torch.Generator) -> Tensor:
        """Owned combinations from which some relation leads to an owned one, `(n, 1)`."""
        return self._starts[self._draw(len(self._starts), n, generator)].unsqueeze(1)

    def sample_relations(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """A relation for each row, uniformly of those that lead to an owned combination.

        Rows without any, or without a component, get any relation: they are not judged.
        """
        component = components[:, 0]
        leads = (self._target[component] >= 0) & (component >= 0).unsqueeze(1)
        leads |= ~leads.any(1, keepdim=True)
        return torch.multinomial(leads.float(), 1, generator=generator).squeeze(1)

    def evaluation_draw(
        self, true: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Starts and relations as the relational learner is trained on; relations for images."""
        starts = self.sample_starts(len(true), generator)
        relation = self.sample_relations(starts, generator)
        images = self.sample_relations(self.components(true), generator)
        return self.values(starts), relation, images

    def judged(self, values: Tensor, relation: Tensor) -> Tensor:
        """Whether the combinations before and after the relation are both owned, `(n,)`."""
        after = self.relations.apply(values, relation)
        return (self.components(values)[:, 0] >= 0) & (self.components(after)[:, 0] >= 0)

    def coverage(self, judged: Tensor) -> dict[str, float]:
        """How much of the variant the labelled subset shows.

        Returns:
            `coverage`: owned combinations by all; `relation_coverage`: relations from owned
            combinations that lead to owned ones, by all from owned ones; `images_judged`: the
            number of images that encoded and pixel accuracies are over.
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


def monolithic(config: Config, literal: bool) -> Config:
    """The monolithic model's settings beside those of a modular one: same data, steps and losses.

    The one code is as large as all partitions together. Off is what makes no sense for one code:
    nuisance partitions and label swaps between partitions (there is one), and resampling (a fresh
    sample of the component would replace what the image shows beside its factor values, and could
    not be reconstructed).
    All components share one covariance, for most own too few labelled images for one.

    Of the paper's settings (`literal`) the code has the published size, and every component its own
    covariance.
    """
    variant, model = get_variant(config.data.variant), config.model
    partitions = len(variant.factors) + model.nuisance_partitions
    size = _PUBLISHED_SIZE[variant.family] if literal else partitions * model.latent_size
    changes: dict[str, Any] = {
        "model.kind": "monolithic",
        "model.latent_size": size,
        "model.nuisance_partitions": 0,
        "loss.cycle_swaps": 0.0,
        "loss.resample_probability": 0.0,
        "loss.shared_covariance": not literal,
    }
    return config.with_values(changes)
