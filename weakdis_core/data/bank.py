"""Batches of prepared images on the training device."""

import torch
from torch import Tensor

from weakdis_core.data.prepared import Prepared


class ImageBank:
    """The images and factor values of a prepared variant, as tensors.

    On a CPU the images are the memory map, shared with other trials. A GPU receives a copy in uint8
    if half of its free memory is enough; otherwise each batch is copied from the host.
    """

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        self.device = device
        self.scale = prepared.scale
        self.images = torch.from_numpy(prepared.images)
        self.values = torch.from_numpy(prepared.factors.copy()).to(device)
        if device.type == "cuda" and self.images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
            self.images = self.images.to(device)

    def batch(self, index: Tensor) -> Tensor:
        """Return images `(len(index), channels, 64, 64)` in [0, 1], channels last in memory."""
        chosen = self.images[index.to(self.images.device)].to(self.device, non_blocking=True)
        images = chosen.to(dtype=torch.float32, memory_format=torch.channels_last)
        return images if self.scale == 1 else images / self.scale
