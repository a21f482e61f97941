"""Consistency on unlabelled images (an addition): a changed image keeps its values.

The values read in the clean image are the labels of the changed one where their probability passes
a threshold (FixMatch, Sohn et al., 2020). Probabilities are first aligned with the frequencies of
the labelled images (ReMixMatch, Berthelot et al., 2020), so that no value takes over, and the
threshold of a partition follows its mean confidence (FreeMatch, Wang et al., 2023).
"""

import torch
from torch import Tensor

from weakdis_core.priors.prior import Prior

LEAST_CONFIDENCE = 0.8
"""Lowest threshold of a partition."""

_DECAY = 0.99
_FIRST, _LAST = 0.1, 0.3


class Consistency:
    """Values of unlabelled images, with the running means that they depend on.

    Args:
        n_components: Components of each coded partition.
        device: Device of the tensors.

    Attributes:
        frequencies: Running mean probability of each component, `(coded, components)`.
        confidence: Running mean confidence of each partition, `(coded,)`.
    """

    def __init__(self, n_components: Tensor, device: torch.device | str = "cpu") -> None:
        exists = torch.arange(int(n_components.max()), device=device) < n_components.unsqueeze(1)
        self.frequencies = exists / n_components.unsqueeze(1)
        self.confidence = 1 / n_components.float()

    @torch.no_grad()
    def targets(self, prior: Prior, codes: Tensor, temperature: float) -> Tensor:
        """Return the components of confident partitions, else -1, `(batch, coded)`.

        Args:
            prior: The adaptive priors.
            codes: Codes of clean images, `(batch, partitions, latent)`.
            temperature: Divides the log-densities.
        """
        coded = len(self.confidence)
        read = prior.log_posterior(codes, temperature)[:, :coded].exp()
        self.frequencies = _DECAY * self.frequencies + (1 - _DECAY) * read.mean(0)
        wanted = prior.log_weights[:coded].exp()
        aligned = read * wanted / self.frequencies.clamp(min=1e-6)
        aligned = aligned / aligned.sum(-1, keepdim=True).clamp(min=1e-12)
        found, values = aligned.max(-1)
        self.confidence = _DECAY * self.confidence + (1 - _DECAY) * found.mean(0)
        return values.masked_fill(found < self.confidence.clamp(min=LEAST_CONFIDENCE), -1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the running means."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a `state_dict`."""
        for name, value in state.items():
            setattr(self, name, value.to(self.confidence.device))


def ramp(fraction: float) -> float:
    """Return the share of the weight at a fraction of the steps: from 0 to 1."""
    return min(1.0, max(0.0, (fraction - _FIRST) / (_LAST - _FIRST)))
