"""`python -m analysis manipulate`: apply a trained model's relations to a user's picture."""

from __future__ import annotations

import tempfile
from pathlib import Path

from analysis.data.store import resolve_uri
from analysis.serving.model_address import find_checkpoint
from analysis.serving.picture_files import read_picture
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError
from weakdis_core.manipulation import load_networks
from weakdis_core.manipulation import manipulate as apply_relations
from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import write_manipulation


def manipulate(
    model: str,
    image: Path,
    relation: str = "all",
    output: Path = Path("manipulation.png"),
    tracking_uri: str | None = None,
) -> None:
    """Draw a picture, its reconstruction, and the result of a relation.

    The picture is first converted to the model's images: grey or RGB, 64 x 64 pixels.

    Args:
        model: Address of a model: models:/weakdis-dsprites_v4@best (or /VERSION), runs:/RUN_ID,
            or a checkpoint's file or folder.
        image: Picture of any size: PNG, JPEG, GIF, WebP.
        relation: Name of the relation, such as move_left, or all of the variant's.
        output: Picture to write.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.

    Raises:
        UserError: The model or the picture cannot be read, or the relation is unknown.
    """
    try:
        content = image.read_bytes()
    except OSError as error:
        raise UserError(f"image: {image} cannot be read ({error.strerror})") from None
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = find_checkpoint(model, resolve_uri(tracking_uri), Path(folder))
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
