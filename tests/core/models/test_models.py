"""Networks: shapes, unchanged partitions, and positions of the object-centred parts."""

from __future__ import annotations

import pytest
import torch

from weakdis_core.config.settings import ModelSettings
from weakdis_core.models.autoencoder import ModularAutoencoder
from weakdis_core.models.decoders import PalettePatchDecoder, PlacedPatchDecoder
from weakdis_core.models.encoders import ConvolutionalEncoder
from weakdis_core.models.networks import Discriminator, RelationalLearner
from weakdis_core.models.residual import ResidualEncoder
from weakdis_core.models.window import ContrastLocaliser, Localiser, placement_matrices

SMALL = ModelSettings(
    latent_size=4, discriminator_width=16, relational_width=16, residual_relations=True
)
ARCHITECTURES = [
    {},
    {"upsampling": "pixel_shuffle", "he_initialisation": True, "nuisance_partitions": 1},
    {"encoder": "object_centred", "decoder": "placed_patch", "he_initialisation": True},
    {"upsampling": "pixel_shuffle", "decoder": "palette", "he_initialisation": True},
    {"encoder": "residual", "decoder": "scaled_patch", "he_initialisation": True},
    {"encoder": "residual", "decoder": "palette_patch", "he_initialisation": True},
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_of_codes_and_logits(
    architecture: dict[str, object], gaussian: bool, channels: int
) -> None:
    settings = ModelSettings.model_validate({"channels": 8, "hidden": 32, **architecture})
    model = ModularAutoencoder(channels, 4, gaussian, settings)
    images = torch.rand(5, channels, 64, 64)
    posterior = model.encode(images)
    partitions = 4 + settings.nuisance_partitions
    assert posterior.means.shape == (5, partitions, 8)
    assert (posterior.log_variances is None) != gaussian
    assert model.decode(posterior.means).shape == images.shape


@pytest.mark.parametrize("size", [32, 128])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_images_of_other_sizes(architecture: dict[str, object], size: int) -> None:
    settings = ModelSettings.model_validate({"channels": 8, "hidden": 32, **architecture})
    model = ModularAutoencoder(3, 4, False, settings, image_size=size)
    images = torch.rand(2, 3, size, size)
    assert model.decode(model.encode(images).means).shape == images.shape
    for encoder in model.modules():
        if isinstance(encoder, ConvolutionalEncoder):
            assert encoder.features(images).shape == (2, 16, 4, 4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_finite_in_reduced_precision(architecture: dict[str, object]) -> None:
    settings = ModelSettings.model_validate({"channels": 8, "hidden": 32, **architecture})
    autocast = torch.autocast("cpu", torch.bfloat16)
    model = ModularAutoencoder(3, 4, False, settings, autocast)
    # Large codes, so that pictures are black and white.
    logits = model.decode(1e3 * torch.randn(20, 4 + settings.nuisance_partitions, 8))
    assert logits.isfinite().all()
    assert logits.dtype == torch.float32


def blob(x: int, y: int) -> torch.Tensor:
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, y - 3 : y + 4, x - 3 : x + 4] = 1.0
    image[0, 0, y - 3, x - 3] = 0.5
    return image


def test_an_untrained_localiser_attends_to_bright_pixels() -> None:
    torch.manual_seed(0)
    localiser = Localiser(1, 64)
    left, right, low = localiser(torch.cat([blob(12, 32), blob(52, 32), blob(32, 52)])).tolist()
    assert left[0] < low[0] < right[0]
    assert low[1] > max(left[1], right[1])


@pytest.mark.slow
def test_a_localiser_learns_positions_from_a_loss_of_the_window() -> None:
    torch.manual_seed(0)
    localiser = Localiser(1, 64)
    optimiser = torch.optim.Adam(localiser.parameters(), 1e-2)
    places = torch.tensor([[12, 20], [40, 50], [52, 12], [30, 30]])
    images = torch.cat([blob(x, y) for x, y in places.tolist()])
    for _ in range(200):
        rows, columns = placement_matrices(localiser(images), 16, 64)
        loss = -(rows.mT @ images @ columns)[..., 4:12, 4:12].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (localiser(images) - places).abs().max() < 2


def test_a_window_is_centred_at_its_position() -> None:
    images = torch.cat([blob(10, 20), blob(40, 50), blob(60, 5)])
    rows, columns = placement_matrices(torch.tensor([[10.0, 20], [40, 50], [60, 5]]) + 0.5, 32, 64)
    windows = rows.mT @ images @ columns
    # The centre of 32 pixels is between two of them.
    assert windows[:, 0, 15, 15].tolist() == [1.0, 1.0, 1.0]
    assert (windows[:2] == windows[0]).all()


def test_a_window_at_a_placed_patch_equals_the_patch() -> None:
    patch = torch.zeros(2, 3, 16, 16)
    patch[:, :, 2:-2, 2:-2] = torch.rand(2, 3, 12, 12)
    rows, columns = placement_matrices(torch.tensor([[20.5, 33.5], [40.5, 12.5]]), 16, 64)
    image = rows @ patch @ columns.mT
    torch.testing.assert_close(rows.mT @ image @ columns, patch)


def test_a_patch_is_interpolated_between_pixels_and_cut_at_the_border() -> None:
    patch = torch.ones(1, 1, 4, 4)
    rows, columns = placement_matrices(torch.tensor([[10.75, 63.5]]), 4, 64)
    image = (rows @ patch @ columns.mT)[0, 0]
    assert image[62].tolist()[8:14] == [0.0, 0.75, 1.0, 1.0, 1.0, 0.25]
    # Two of the four rows are below the image.
    assert image[:, 11].tolist()[60:] == [0.0, 0.0, 1.0, 1.0]


def test_the_decoder_places_the_patch() -> None:
    decoder = PlacedPatchDecoder(1, 4, ModelSettings(hidden=16), 64)
    with torch.no_grad():
        for parameter in (*decoder.draw.parameters(), *decoder.translation.parameters()):
            parameter.zero_()
        dict(decoder.draw.named_parameters())["4.bias"].add_(10.0)
        dict(decoder.translation.named_parameters())["2.bias"].copy_(torch.tensor([0.25, -0.25]))
    codes = torch.zeros(1, 4)
    assert decoder.place(codes).tolist() == [[40.0, 24.0]]
    logits = decoder(codes)
    inside = logits[0, 0] > 5
    assert inside.sum() in range(31 * 31, 33 * 33 + 1)
    rows, columns = inside.nonzero().float().mean(0)
    assert abs(columns + 0.5 - 40) <= 0.5
    assert abs(rows + 0.5 - 24) <= 0.5
    assert logits[0, 0, 60, 5] == decoder.background


def test_relations_do_not_change_nuisance_partitions() -> None:
    learner = RelationalLearner(factors=3, relations=5, settings=SMALL)
    codes = torch.randn(7, 5, 4)
    output = learner(codes, torch.arange(7) % 5)
    assert (output[:, 3:] == codes[:, 3:]).all()
    assert (output[:, :3] != codes[:, :3]).any()


def test_the_discriminator_depends_on_the_partition() -> None:
    network = Discriminator(partitions=3, settings=SMALL)
    same = torch.randn(1, 1, 4).expand(2, 3, 4)
    logits = network(same)
    assert logits.shape == (2, 3, 1)
    assert len(set(logits[0, :, 0].tolist())) == 3


@pytest.mark.parametrize("size", [32, 128])
def test_the_patch_of_other_sizes_is_half_as_wide_as_the_image(size: int) -> None:
    decoder = PlacedPatchDecoder(1, 4, ModelSettings(hidden=16), size)
    with torch.no_grad():
        for parameter in (*decoder.draw.parameters(), *decoder.translation.parameters()):
            parameter.zero_()
        dict(decoder.draw.named_parameters())["4.bias"].add_(10.0)
    # Without a translation the patch is in the middle.
    inside = (decoder(torch.zeros(1, 4))[0, 0] > 5).nonzero()
    assert inside.float().mean() == size / 2
    # It covers half of its outermost pixels.
    assert len(inside) == (size // 2 - 1) ** 2


def picture(x: int, y: int, side: int, size: int = 64) -> torch.Tensor:
    """Draw a red square, its left half darker, on a green background."""
    image = torch.tensor([0.2, 0.8, 0.3])[None, :, None, None].repeat(1, 1, size, size)
    image[0, :, y : y + side, x : x + side] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    image[0, 0, y : y + side, x : x + side // 2] = 0.5
    return image


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_window_follows_the_object_in_place_and_size(size: int) -> None:
    localiser, unit, window = ContrastLocaliser(3, size), size // 32, size * 3 // 4
    images = torch.cat(
        [
            picture(4 * unit, 6 * unit, 8 * unit, size),
            picture(16 * unit, 14 * unit, 8 * unit, size),
            picture(10 * unit, 12 * unit, 16 * unit, size),
        ]
    )
    with torch.no_grad():
        place, scale, border = localiser(images, window)
    # A pixel's index is that of its centre.
    centres = torch.tensor([[8, 10], [20, 18], [18, 20]]) * unit - 0.5
    # The darker half stands out less. The attention has a cell for every second pixel.
    assert (place - centres).abs().max() < 0.4 * unit
    assert torch.allclose(scale[0], scale[1], rtol=0.01)
    assert torch.allclose(2 * scale[0], scale[2], rtol=0.1)
    assert torch.allclose(border, images[:, :, :1, :1])


def test_what_the_residual_encoder_sees_of_a_moved_object_is_the_same() -> None:
    settings = ModelSettings(encoder="residual", channels=8, hidden=16)
    encoder = ResidualEncoder(3, 8, settings, 64)
    seen: list[torch.Tensor] = []
    encoder.features.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        encoder(torch.cat([picture(8, 12, 16), picture(34, 30, 16)]))
        # Part of this window is outside the image.
        encoder(torch.cat([picture(2, 2, 16), picture(45, 45, 16)]))
    views = torch.cat(seen)
    # Edges differ by parts of a pixel.
    assert (views - views[0]).abs().mean() < 0.02
    # The window has the colours of object and background.
    assert torch.allclose(views[0, :, 0, 0], torch.tensor([0.2, 0.8, 0.3]), atol=1e-4)
    assert torch.allclose(views[0, :, 24, 30], torch.tensor([0.9, 0.1, 0.1]), atol=1e-2)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_a_window_at_the_place_of_a_patch_shows_the_patch(scale: float) -> None:
    patch = torch.zeros(1, 1, 24, 24)
    patch[..., 6:18, 8:16] = 1.0
    zoom = torch.tensor([scale])
    rows, columns = placement_matrices(torch.tensor([[30.0, 35.5]]), 24, 64, zoom)
    drawn = rows @ patch @ columns.mT * min(scale, 1.0) ** 2
    # The area follows the scale, and no pixel is brighter than the patch.
    assert torch.allclose(drawn.sum(), patch.sum() * scale**2, rtol=0.02)
    assert drawn.max() <= 1 + 1e-5
    again = rows.mT @ drawn @ columns / max(scale, 1.0) ** 2
    assert (again - patch).abs().mean() < 0.07


def test_the_palette_patch_is_drawn_at_its_place_and_size_on_the_background() -> None:
    decoder = PalettePatchDecoder(3, 4, ModelSettings(hidden=16), 64)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        # The first mask covers the patch, in the first colour.
        dict(decoder.draw.named_parameters())["4.bias"][: decoder.patch**2] = 20.0
        dict(decoder.palette.named_parameters())["2.bias"][:3] = torch.tensor([9.0, -9.0, 9.0])
        dict(decoder.background.named_parameters())["2.bias"].add_(-10.0)
        # 0.1 + 2.9 sigmoid(x) = 0.5.
        scale = torch.tensor(0.4 / 2.9).logit()
        decoder.placement.linear.bias[:] = torch.tensor([-0.25, 0.25, scale])
        images = decoder(torch.zeros(1, 4)).sigmoid()[0]
    # The patch has half of its 48 pixels; its centre is a quarter of 32 pixels from the middle.
    inside = images[:, 40 - 10 : 40 + 10, 24 - 10 : 24 + 10]
    assert inside[[0, 2]].min() > 0.99
    assert inside[1].max() < 0.01
    outside = images.clone()
    outside[:, 40 - 13 : 40 + 14, 24 - 13 : 24 + 14] = 0
    assert outside.max() < 0.01
