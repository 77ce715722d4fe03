"""Augmentation: an own draw per image, in shape and range, known results where there are any."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import synthetic_images

from sklearn_vae.augmentation._augment import AUGMENTATIONS, Augment, _turned, resolve_augment


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def batch(n=6, c=1, h=28, w=28):
    return torch.from_numpy(synthetic_images(n, c, h, w))


SETTINGS = {
    **AUGMENTATIONS,
    "rotate": Augment(rotate=30),
    "shift": Augment(shift=0.2),
    "scale": Augment(scale=0.3),
    "shear": Augment(shear=20),
    "elastic": Augment(elastic=0.1),
    "brightness": Augment(brightness=0.5),
    "contrast": Augment(contrast=0.5),
    "saturation": Augment(saturation=0.5),
    "hue": Augment(hue=90),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("fill", ["zeros", "border", "reflection"])
def test_every_image_gets_its_own_draw_and_keeps_shape_and_range(name, fill):
    augment = Augment(**{**vars(SETTINGS[name]), "fill": fill})
    for c, h, w in ((1, 8, 8), (3, 9, 13), (4, 28, 17)):
        if name in ("saturation", "hue") and c != 3:
            continue
        x = batch(1, c, h, w).expand(6, c, h, w).clone()
        before = x.clone()
        y = augment(x)
        assert torch.equal(x, before)
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert y.min() >= 0
        assert y.max() <= 1
        # One image six times: six different results.
        assert len({row.numpy().tobytes() for row in y}) == 6


@pytest.mark.parametrize(("c", "h", "w"), [(1, 8, 8), (3, 9, 13), (4, 17, 8), (1, 64, 64)])
@pytest.mark.parametrize("autocast", [False, True])
def test_no_augmentation_is_the_identity(c, h, w, autocast):
    x = batch(4, c, h, w)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = Augment()(x)
    torch.testing.assert_close(y, x, rtol=0, atol=1e-5)


def test_flip_mirrors_about_half_of_the_images_exactly():
    x = batch(400, 1, 8, 9)
    y = Augment(flip=True)(x)
    same = torch.isclose(y, x, atol=1e-5).flatten(1).all(1)
    mirrored = torch.isclose(y, x.flip(3), atol=1e-5).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250  # five standard deviations


def test_brightness_multiplies_each_image_by_one_number_within_the_range():
    x = 0.1 + batch(200) * 0.5
    factor = Augment(brightness=0.5)(x) / x
    low, high = factor.flatten(1).min(1).values, factor.flatten(1).max(1).values
    torch.testing.assert_close(low, high, rtol=1e-3, atol=1e-3)
    assert 0.5 <= low.min() < 0.6
    assert 1.4 < high.max() <= 1.5


def test_contrast_keeps_each_images_mean():
    x = 0.4 + 0.2 * batch(50)
    y = Augment(contrast=0.5)(x)
    torch.testing.assert_close(y.mean((1, 2, 3)), x.mean((1, 2, 3)))
    ratio = y.std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.5 <= ratio.min() < 0.7
    assert 1.3 < ratio.max() <= 1.5


def test_saturation_keeps_each_pixels_grey():
    x = 0.4 + 0.2 * batch(50, 3)
    y = Augment(saturation=0.5)(x)
    torch.testing.assert_close(y.mean(1), x.mean(1))
    assert not torch.allclose(y, x)
    for c in (1, 4):
        torch.testing.assert_close(Augment(saturation=0.5)(batch(5, c)), batch(5, c))


def test_hue_turns_colours_around_grey():
    x = 0.4 + 0.2 * batch(50, 3)
    y = Augment(hue=90)(x)
    torch.testing.assert_close(y.mean(1), x.mean(1))
    torch.testing.assert_close(y.var(1), x.var(1))
    assert not torch.allclose(y, x)
    for c in (1, 4):
        torch.testing.assert_close(Augment(hue=90)(batch(5, c)), batch(5, c))


def test_a_third_of_a_turn_makes_green_of_red():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 2, 5)
    angles = torch.tensor([120.0, -120.0]).deg2rad().view(2, 1, 1)
    turned = _turned(red, angles)
    green, blue = torch.eye(3)[1:]
    for image, colour in zip(turned, (green, blue), strict=True):
        torch.testing.assert_close(image, colour[:, None, None].expand(3, 2, 5))


def centroids(x):
    """Return the centre of mass of each image, (n, 2), in fractions of the side from the middle."""
    n, _, h, w = x.shape
    mass = x.sum((1, 2, 3))
    rows = (torch.arange(h) + 0.5) / h - 0.5
    columns = (torch.arange(w) + 0.5) / w - 0.5
    return torch.stack(
        [(x.sum((1, 3)) * rows).sum(1) / mass, (x.sum((1, 2)) * columns).sum(1) / mass], 1
    ).reshape(n, 2)


def blob(n, side=33, row=16, column=16):
    x = torch.zeros(n, 1, side, side)
    x[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
    return x


def test_shift_moves_by_up_to_its_fraction_of_the_side():
    moved = centroids(Augment(shift=0.2)(blob(500)))
    assert moved.abs().max() <= 0.2 + 1e-3
    assert moved.abs().max(0).values.min() > 0.19
    assert moved.mean(0).abs().max() < 0.03


def test_rotation_keeps_the_distance_to_the_middle_and_turns_by_up_to_its_angle():
    start = blob(300, row=16, column=28)
    turned = centroids(Augment(rotate=40)(start))
    radius = 12 / 33
    torch.testing.assert_close(turned.norm(dim=1), torch.full((300,), radius), rtol=0, atol=5e-3)
    degrees = torch.rad2deg(torch.atan2(turned[:, 0], turned[:, 1]))
    assert 38 < degrees.abs().max() <= 40.5
    assert abs(degrees.mean()) < 6


def test_geometry_is_right_on_images_that_are_not_square():
    # A rotation about the middle moves no pixel of a disc; a skewed grid would.
    row, column = torch.meshgrid(torch.arange(21) - 10.0, torch.arange(61) - 30.0, indexing="ij")
    disc = torch.sigmoid(6 - (row.square() + column.square()).sqrt()).expand(20, 1, 21, 61)
    turned = Augment(rotate=45)(disc)
    torch.testing.assert_close(turned, disc.contiguous(), rtol=0, atol=0.1)


def test_fill_is_what_lies_outside():
    x = torch.ones(50, 1, 16, 16)
    assert Augment(shift=0.3)(x).min() == 0
    for fill in ("border", "reflection"):
        torch.testing.assert_close(Augment(shift=0.3, fill=fill)(x), x)


def test_strength_scales_every_range_and_nothing_else():
    half = AUGMENTATIONS["natural"].strengthened(0.5)
    for name, value in vars(AUGMENTATIONS["natural"]).items():
        expected = value * 0.5 if isinstance(value, float) else value
        assert getattr(half, name) == pytest.approx(expected) if value else not getattr(half, name)
    doubled = Augment(rotate=10, shift=0.1).strengthened(2)
    assert doubled == Augment(rotate=20, shift=0.2)


GREY, COLOUR, ROWS = (1, 8, 8), (3, 8, 8), (64,)


def test_names_and_strengths_resolve_by_kind_of_data():
    assert resolve_augment("auto", GREY) == AUGMENTATIONS["geometric"]
    assert resolve_augment("auto", COLOUR) == AUGMENTATIONS["natural"]
    assert resolve_augment("natural", GREY) == AUGMENTATIONS["natural"]
    assert resolve_augment(1, GREY) == AUGMENTATIONS["geometric"]
    assert resolve_augment(0.5, COLOUR) == AUGMENTATIONS["natural"].strengthened(0.5)
    for nothing in (0, 0.0, None):
        assert resolve_augment(nothing, GREY) is None
        assert resolve_augment(nothing, ROWS) is None
    assert resolve_augment("auto", ROWS) is None
    assert resolve_augment(F.relu, ROWS) is F.relu


@pytest.mark.parametrize("augment", ["geometric", "natural", 0.5])
def test_images_augmentations_are_refused_for_vectors(augment):
    with pytest.raises(ValueError, match=rf"augment={augment!r}.*64 values.*image_shape"):
        resolve_augment(augment, ROWS)


def test_own_augmentations_of_images_are_refused_for_vectors():
    with pytest.raises(ValueError, match=r"augment=Augment.*64 values.*image_shape"):
        resolve_augment(Augment(shift=0.1), (64,))


@pytest.mark.parametrize(
    "changes", [{"shift": -0.1}, {"paste": float("nan")}, {"contrast": float("inf")}, {"fill": "x"}]
)
def test_impossible_ranges_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Augment(**changes)


def test_draws_follow_torchs_generator():
    x = batch()
    results = []
    for number in (1, 1, 2):
        torch.manual_seed(number)
        results.append(AUGMENTATIONS["geometric"](x).numpy())
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


@pytest.mark.parametrize("c", [1, 3])
def test_paste_shows_one_rectangle_of_another_image_and_nothing_else(c):
    own = 0.1 + 0.001 * torch.arange(300.0)  # tells the images apart
    x = own[:, None, None, None] + 0.3 * torch.rand(1, c, 20, 30)
    y = Augment(paste=0.5)(x)
    foreign = (y - x).abs().amax(1) > 5e-4
    rows, columns = foreign.any(2), foreign.any(1)
    assert torch.equal(foreign, rows[:, :, None] & columns[:, None, :])
    torch.testing.assert_close(y, torch.where(foreign[:, None], x.roll(1, 0), x), rtol=0, atol=1e-5)
    for lines, most in ((rows, 10), (columns, 15)):
        assert (lines.diff(dim=1).sum(1) <= 2).all()  # in one piece
        assert lines.sum(1).max() == most
    assert len({row.numpy().tobytes() for row in foreign}) > 200


def test_a_single_image_has_nothing_to_paste():
    x = batch(1)
    torch.testing.assert_close(Augment(paste=0.5)(x), x, rtol=0, atol=1e-5)


def test_the_customary_augmentation_of_large_images_is_of_the_target_too():
    natural = AUGMENTATIONS["natural"]
    still = replace(natural, shift=0.0, scale=0.0)
    for c, small, large in ((1, "geometric", still), (3, "natural", natural)):
        assert resolve_augment("auto", (c, 32, 32)) == AUGMENTATIONS[small]
        usual = resolve_augment("auto", (c, 33, 33))
        assert usual == replace(large, target="changed")
        assert resolve_augment(0.5, (c, 33, 33)) == usual.strengthened(0.5)
        assert resolve_augment(small, (c, 33, 33)) == AUGMENTATIONS[small]


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="choose clean or changed"):
        Augment(target="both")
