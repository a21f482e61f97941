"""Images worth labelling: those that stand for many others in an unsupervised latent space.

Choosing typical images pays most where few are labelled (Hacohen, Dekel & Weinshall, 2022, "Active
learning on a budget"). No label is read.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from weakdis_core.config.config import Config
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.labelled import Draw, draw_of, labelled_subset
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import shuffled
from weakdis_core.data.variant import IndexArray
from weakdis_core.devices import apply_runtime
from weakdis_core.models.networks import Networks
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import derive, torch_generator
from weakdis_core.training import losses

CANDIDATES = 4_000
"""Images, at most, among which the choice is made."""

STEPS = 600
"""Steps of the unsupervised training."""

_CHUNK = 500


def label_images(config: Config, prepared: Prepared, train: IndexArray) -> IndexArray:
    """Return the rows of the labelled subset, drawn or chosen from the train split's rows.

    Raises:
        UserError: The train split has fewer labelled images.
    """
    data, draw = config.data, draw_of(config)

    def drawn(labels: int, draw: Draw) -> IndexArray:
        n_values = prepared.variant.n_values
        return labelled_subset(prepared.factors, train, labels, n_values, data.data_seed, draw)

    if draw != "chosen":
        return drawn(data.labels, draw)
    size = len(drawn(data.labels, "random"))
    return choose_images(prepared, np.sort(drawn(0, "random")), config, size)


def choose_images(
    prepared: Prepared,
    rows: IndexArray,
    config: Config,
    n: int,
    progress: Callable[[int, int], None] | None = None,
) -> IndexArray:
    """Choose images to label, by an autoencoder that is trained without labels.

    Args:
        prepared: The variant's images.
        rows: Rows of the images to choose from and to train on.
        config: Networks, weights and sizes of batches; the data seed decides all draws.
        n: Number of images. Fewer are a prefix of more.
        progress: Function called with (steps done, all steps).

    Returns:
        Chosen rows, `(n,)`, the most typical one first.
    """
    seed = config.data.data_seed
    candidates = shuffled(rows, seed, "choice")[: max(CANDIDATES, n)]
    seeded = config.with_values({"seed": derive(seed, "choice") % 2**31})
    codes = _encode(prepared, rows, candidates, seeded, progress)
    return candidates[greedy_medoids(codes, n)]


def greedy_medoids(codes: NDArray[np.float32], n: int) -> IndexArray:
    """Choose codes that are near to all others.

    Each choice lowers the sum of the distances of all codes to their nearest chosen code as far as
    possible, so the first one is the medoid (greedy facility location).

    Args:
        codes: `(codes, dimensions)`.
        n: Number of choices.

    Returns:
        Positions of the chosen codes, `(n,)`.
    """
    points = torch.from_numpy(codes)
    distances = torch.cdist(points, points)
    nearest = torch.full((len(points),), float(distances.max()) + 1)
    chosen: list[int] = []
    for _ in range(n):
        left = torch.minimum(distances, nearest).sum(1)
        # Equal codes are not chosen twice.
        left[chosen] = torch.inf
        chosen.append(int(left.argmin()))
        nearest = torch.minimum(nearest, distances[chosen[-1]])
    return np.array(chosen, np.int64)


def _encode(
    prepared: Prepared,
    rows: IndexArray,
    candidates: IndexArray,
    config: Config,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float32]:
    """Train an autoencoder with the prior N(0, I); return the candidates' codes, flat."""
    device, autocast = apply_runtime(config.runtime)
    torch.set_num_threads(config.runtime.threads)
    bank, loss = ImageBank(prepared, device), config.loss
    gaussian = config.with_values({"loss.prior_matching": "kl"})
    networks = Networks(prepared.variant, gaussian, device, autocast)
    model = networks.autoencoder
    prior = Prior.standard(model.partitions, model.latent, device)
    generator = torch_generator(config.seed, "choice", device)
    train = torch.from_numpy(rows).to(device)
    for step in range(STEPS):
        size = (2 * config.training.batch_size,)
        drawn = torch.randint(len(train), size, generator=generator, device=device)
        images = bank.batch(train[drawn])
        posterior = model.encode(images)
        assert posterior.log_variances is not None
        drawn_codes = posterior.sample(generator)
        reconstruction = losses.reconstruction(model.decode(drawn_codes), images)
        kl = prior.kl(posterior.means, posterior.log_variances).sum(1).mean()
        networks.minimise("autoencoder", loss.reconstruction_weight * (reconstruction + kl), 20.0)
        if progress is not None:
            progress(step + 1, STEPS)
    with torch.no_grad():
        parts = torch.from_numpy(candidates).to(device).split(_CHUNK)
        codes = [model.encode(bank.batch(part)).means.flatten(1).cpu().numpy() for part in parts]
    return np.concatenate(codes)
