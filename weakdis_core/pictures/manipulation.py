"""Test images after relations, set values and swaps of partitions, as columns of pictures."""

import numpy as np
from torch import Tensor

from weakdis_core.data.picture_files import Images
from weakdis_core.model import Model, Values


def manipulate(
    model: Model,
    images: Tensor,
    relations: tuple[str, ...],
    values: Values | None = None,
    times: int = 1,
) -> dict[str, Images]:
    """Set factor values, and then apply each relation several times to the result.

    Returns:
        The images, their reconstructions and the changed images by the name of the change, each
        `(n, channels, 64, 64)` in [0, 1].

    Raises:
        UserError: A relation, a factor, a value or the number are not allowed.
    """
    codes = model.encode(images)
    start = model.change_codes(codes, values)
    columns = {"reconstruction": codes}
    if values:
        columns[", ".join(f"{name} {value}" for name, value in values.items())] = start
    for name in relations:
        label = name if times == 1 else f"{name} {times}x"
        columns[label] = model.change_codes(start, None, name, times)
    decoded = {name: model.decode(changed) for name, changed in columns.items()}
    return {"image": images.cpu().numpy(), **decoded}


def swap(model: Model, first: Tensor, second: Tensor) -> Images:
    """Replace one partition at a time of the first images' codes by that of the second images.

    Returns:
        Decoded images, `(n, partitions, channels, 64, 64)`.
    """
    own, other = model.encode(first), model.encode(second)
    alone = np.eye(own.shape[1], dtype=bool)[..., None]
    return model.decode(np.where(alone, other[:, None], own[:, None]))
