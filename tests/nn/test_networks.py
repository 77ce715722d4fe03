"""Networks: shapes for every size of image, the published architectures, parameters by value."""

import copy

import pytest
import torch
from torch import nn

from sklearn_vae.nn import MLP, NETWORKS, Conv, ConvBN, Custom, Patches, ResNet
from sklearn_vae.nn._conv import channels_for
from sklearn_vae.nn._resnet import _Residual

SIZES = [(side, 48 - side) for side in range(8, 41)]  # every remainder, on either axis


def on_meta(network, shape, z_dim=4):
    """Return the shapes of encoder and decoder output for two samples, without computing."""
    with torch.device("meta"):
        activations = network.encoder(shape)(torch.empty(2, *shape))
        return activations.shape, network.decoder(z_dim, shape)(torch.empty(2, z_dim)).shape


def modules(module, *kinds):
    return [m for m in module.modules() if isinstance(m, kinds)]


@pytest.mark.parametrize(
    "network",
    [
        Conv(),
        Conv(channels=(4, 8), batch_norm=True),
        Conv(channels=(4,)),
        ConvBN(),
        ResNet(),
        ResNet((4,), blocks=2),
        Patches(Conv((4,)), n_filters=2),
    ],
)
def test_decoder_returns_the_exact_size_of_every_image(network):
    for h, w in SIZES:
        activations, decoded = on_meta(network, (3, h, w))
        assert decoded == (2, 3, h, w)
        if isinstance(network, ConvBN):
            assert activations[1] == 1024
            assert min(activations[2:]) >= 2


@pytest.mark.parametrize("shape", [(7,), (1, 8, 8), (3, 9, 13)])
def test_mlp_takes_any_shape(shape):
    activations, decoded = on_meta(MLP(hidden=(6, 5)), shape)
    assert activations == (2, 5)
    assert decoded == (2, *shape)


def test_mlp_decoder_mirrors_the_encoder():
    mlp = MLP(hidden=(400, 30))
    widths = [(m.in_features, m.out_features) for m in modules(mlp.encoder((784,)), nn.Linear)]
    assert widths == [(784, 400), (400, 30)]
    widths = [(m.in_features, m.out_features) for m in modules(mlp.decoder(40, (784,)), nn.Linear)]
    assert widths == [(40, 30), (30, 400), (400, 784)]


def test_conv_is_the_network_asked_for():
    conv = NETWORKS["conv"]()
    with torch.device("meta"):
        encoder, decoder = conv.encoder((3, 32, 32)), conv.decoder(128, (3, 32, 32))
    layers = modules(encoder, nn.Conv2d)
    assert [m.out_channels for m in layers] == [32, 64, 128]
    assert all((m.kernel_size, m.stride, m.padding) == ((4, 4), (2, 2), (1, 1)) for m in layers)
    assert len(modules(encoder, nn.ReLU)) == 3
    assert on_meta(conv, (3, 32, 32), 128)[0] == (2, 128, 4, 4)
    (start,) = modules(decoder, nn.Linear)
    assert (start.in_features, start.out_features) == (128, 128 * 4 * 4)
    layers = modules(decoder, nn.ConvTranspose2d)
    assert [m.out_channels for m in layers] == [64, 32, 3]
    assert all((m.kernel_size, m.stride, m.padding) == ((4, 4), (2, 2), (1, 1)) for m in layers)
    assert isinstance(list(decoder.modules())[-1], nn.ConvTranspose2d)  # the sigmoid comes later


@pytest.mark.parametrize(
    ("size", "channels"),
    [
        *[((8, 8), (32, 64, 128)), ((32, 32), (32, 64, 128)), ((45, 45), (32, 64, 128))],
        *[((64, 64), (16, 32, 64, 128)), ((64, 1000), (16, 32, 64, 128))],
        *[((128, 160), (8, 16, 32, 64, 128)), ((224, 224), (8, 8, 16, 32, 64, 128))],
    ],
)
def test_larger_images_get_stages_until_the_last_map_is_about_4_x_4(size, channels):
    assert channels_for((3, *size), last=128) == channels
    for conv in (Conv(), Conv(batch_norm=True)):
        explicit = Conv(channels, conv.batch_norm)
        assert on_meta(conv, (3, *size)) == on_meta(explicit, (3, *size))
        assert repr(conv.encoder((3, *size))) == repr(explicit.encoder((3, *size)))
    resnet, twice = ResNet(), tuple(max(8, 2 * c) for c in channels)
    if min(size) < 200:
        assert repr(resnet.encoder((1, *size))) == repr(ResNet(twice).encoder((1, *size)))


@pytest.mark.parametrize("network", [Conv(), ConvBN(), ResNet()])
@pytest.mark.parametrize("side", [46, 63, 64, 100, 181, 224, 512])
def test_any_size_ends_in_a_small_map_and_comes_back(network, side):
    activations, decoded = on_meta(network, (3, side, side + 3))
    assert 2 <= activations[2] <= 6
    assert decoded == (2, 3, side, side + 3)


def test_conv_bn_is_the_network_asked_for():
    conv = NETWORKS["conv-bn"]()
    with torch.device("meta"):
        encoder, decoder = conv.encoder((3, 32, 32)), conv.decoder(128, (3, 32, 32))
    layers = modules(encoder, nn.Conv2d)
    assert [m.out_channels for m in layers] == [32, 64, 128, 256, 512, 1024]
    assert all(m.kernel_size == (3, 3) for m in layers)
    assert len(modules(encoder, nn.BatchNorm2d)) == len(modules(encoder, nn.LeakyReLU)) == 6
    layers = modules(decoder, nn.ConvTranspose2d)
    assert [m.in_channels for m in layers] == [512, 256, 128, 64, 32]
    assert layers[-1].out_channels == 3
    assert len(modules(decoder, nn.BatchNorm2d)) == 4
    assert not modules(decoder, nn.ReLU, nn.Sigmoid)


def test_resnet_is_the_network_asked_for():
    resnet = ResNet((4, 8), blocks=2)
    encoder = resnet.encoder((3, 16, 16))
    first, second = encoder
    assert first(torch.zeros(1, 3, 16, 16)).shape == (1, 4, 8, 8)
    assert second(torch.zeros(1, 4, 8, 8)).shape == (1, 8, 4, 4)
    layers = modules(encoder, nn.Conv2d)
    assert [m.out_channels for m in layers] == [2, 4, 4, 4, 4, 4, 8, 8, 8, 8, 8]
    assert [m.stride[0] for m in layers] == [1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert len(modules(encoder, nn.BatchNorm2d)) == len(layers)


def test_residual_blocks_begin_as_the_identity_and_learn():
    *_, block = modules(ResNet((4,)).encoder((1, 8, 8)), _Residual)
    x = torch.rand(2, 4, 4, 4)
    torch.testing.assert_close(block(x), x)
    block(x).square().sum().backward()
    assert float(block.change[-1].weight.grad.abs().sum()) > 0


def test_batch_norm_follows_every_convolution_where_asked_for():
    plain, normed = Conv(channels=(4, 8)), Conv(channels=(4, 8), batch_norm=True)
    for part in (lambda n: n.encoder((1, 8, 8)), lambda n: n.decoder(3, (1, 8, 8))):
        assert not modules(part(plain), nn.BatchNorm2d)
        convolutions = modules(part(normed), nn.Conv2d, nn.ConvTranspose2d)
        # BatchNorm has a shift of its own: a bias before it would have no effect.
        assert [m.bias is None for m in convolutions].count(True) == len(
            modules(part(normed), nn.BatchNorm2d)
        )
    assert len(modules(normed.encoder((1, 8, 8)), nn.BatchNorm2d)) == 2
    assert len(modules(normed.decoder(3, (1, 8, 8)), nn.BatchNorm2d)) == 1


@pytest.mark.parametrize(
    "network",
    [MLP(hidden=(6,)), Conv(channels=(4, 8)), Conv(batch_norm=True), ResNet((4,), blocks=2)],
)
def test_networks_compare_print_and_hash_by_value(network):
    again = eval(repr(network))
    assert again == network
    assert hash(again) == hash(network)
    assert copy.deepcopy(network) == network
    assert network != MLP(hidden=(7,))


def test_every_call_builds_fresh_modules():
    network = Conv(channels=(4,))
    a, b = network.encoder((1, 8, 8)), network.encoder((1, 8, 8))
    assert a is not b
    assert not {p.data_ptr() for p in a.parameters()} & {p.data_ptr() for p in b.parameters()}


def test_conv_refuses_images_that_it_would_halve_away():
    with pytest.raises(ValueError, match=r"at least 16 pixels a side; got 8x8.*fewer channels"):
        Conv(channels=(4, 4, 4, 4)).encoder((1, 8, 8))


@pytest.mark.parametrize("blocks", [0, 1.5])
def test_resnet_refuses_what_is_none(blocks):
    with pytest.raises(ValueError, match=r"blocks >= 1 \(without blocks it is Conv\)"):
        ResNet((4,), blocks)


@pytest.mark.parametrize("channels", [(), (0,), (16, -1), (2.5,), 16, (True,)])
@pytest.mark.parametrize("network", [Conv, ResNet])
def test_networks_refuse_impossible_channels(network, channels):
    with pytest.raises(ValueError, match=r"channels=.*give a tuple of ints.*or 'auto'"):
        network(channels)


@pytest.mark.parametrize("hidden", [(0,), (16, -1), (2.5,), 16])
def test_mlp_refuses_impossible_widths(hidden):
    with pytest.raises(ValueError, match="give a tuple of ints"):
        MLP(hidden=hidden)


def test_custom_hands_out_copies_that_keep_the_weights():
    modules = nn.Linear(4, 3), nn.Linear(2, 4)
    network = Custom(*modules)
    copies = network.encoder((4,)), network.decoder(2, (4,))
    for original, duplicate in zip(modules, copies, strict=True):
        assert duplicate is not original
        assert torch.equal(duplicate.weight, original.weight)
        with torch.no_grad():
            duplicate.weight.add_(1)
        assert not torch.equal(duplicate.weight, original.weight)
