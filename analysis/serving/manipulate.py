"""`weakdis manipulate`: apply a trained model's relations to a picture or to test images."""

from __future__ import annotations

import tempfile
from pathlib import Path

from analysis.data.store import resolve_uri
from analysis.serving.model_address import find_checkpoint
from analysis.serving.picture_files import read_picture
from weakdis_core.cli.model_commands import manipulate_test_images
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError
from weakdis_core.manipulation import load_networks
from weakdis_core.manipulation import manipulate as apply_relations
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import write_manipulation


def manipulate(
    model: str,
    image: Path | None,
    relation: str,
    output: Path,
    images: int,
    data_dir: Path | None,
    tracking_uri: str | None,
) -> None:
    """Draw a picture or test images, their reconstructions, and the results of relations.

    Args:
        model: Address of the model: models:/..., runs:/RUN_ID, or a checkpoint's file or folder.
        image: Picture of any size; None for test images.
        relation: Name of the relation, or all of the variant's.
        output: Picture to write.
        images: Number of test images.
        data_dir: Folder of the official files.
        tracking_uri: MLflow store to read.

    Raises:
        UserError: The model or the picture cannot be read, or the relation is unknown.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = find_checkpoint(model, resolve_uri(tracking_uri), Path(folder))
        if image is None:
            manipulate_test_images(checkpoint, relation, output, images, data_dir, name=model)
            return
        try:
            content = image.read_bytes()
        except OSError as error:
            raise UserError(f"image: {image} cannot be read ({error.strerror})") from None
        config, networks = load_networks(checkpoint)
    variant = get_variant(config.data.variant)
    names = variant.relation_names if relation == "all" else (relation,)
    picture = read_picture(content, variant, str(image))
    result = apply_relations(networks, variant, picture.pixels[None], names)
    changes = f" ({picture.changes})" if picture.changes else ""
    head = Head(f"{variant.name}: {image.name}{changes}", model)
    write_manipulation(result, head, output)
    if changes:
        print(f"{image}: converted{changes}")
    print(f"written to {output}")
