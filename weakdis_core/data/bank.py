"""A prepared variant's images as batches on the training device."""

import torch
from torch import Tensor

from weakdis_core.data.prepared import Prepared


class ImageBank:
    """Images and factor values of a prepared variant by index, as tensors on `device`.

    On a CPU the images stay the memory map they are, shared with every other trial. On a GPU they
    are copied there once as uint8 when half of the free memory holds them, and otherwise indexed on
    the host (each batch then waits for its copy).
    """

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        self.device = device
        self.scale = prepared.scale
        self.images = torch.from_numpy(prepared.images)
        self.values = torch.from_numpy(prepared.factors.copy()).to(device)
        if device.type == "cuda" and self.images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
            self.images = self.images.to(device)

    def batch(self, index: Tensor) -> Tensor:
        """Images `(len(index), channels, 64, 64)` in [0, 1], channels last in memory."""
        chosen = self.images[index.to(self.images.device)].to(self.device, non_blocking=True)
        images = chosen.to(dtype=torch.float32, memory_format=torch.channels_last)
        return images if self.scale == 1 else images / self.scale
