"""What is done by other means on Apple's GPUs agrees with torch."""

import pytest
import torch
import torch.nn.functional as F

from sklearn_vae.nn import _mps


@pytest.fixture(autouse=True)
def _limited(monkeypatch):
    monkeypatch.setattr(_mps, "LIMITED", {"cpu"})


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_points_outside_are_read_as_torch_does(padding_mode):
    x = torch.rand(3, 2, 5, 8)
    grid = (torch.rand(3, 6, 7, 2) * 20 - 10).requires_grad_()
    ours = _mps.grid_sample(x, grid, padding_mode)
    torchs = F.grid_sample(x, grid, padding_mode=padding_mode, align_corners=False)
    results = [(y, *torch.autograd.grad(y.square().sum(), grid)) for y in (ours, torchs)]
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(2, 2), (3, 4), (7, 5)])
def test_averages_over_uneven_cells(size):
    x = torch.rand(2, 3, 7, 8)
    assert torch.equal(_mps.adaptive_avg_pool2d(x, size), F.adaptive_avg_pool2d(x, size))


def test_maps_keep_the_common_layout():
    maps = torch.rand(2, 3, 4, 5)
    assert _mps.fastest_layout(maps.contiguous(memory_format=torch.channels_last)).is_contiguous()
    assert _mps.fastest_layout(maps) is maps


def test_quantiles():
    u = torch.linspace(0.01, 0.99, 20)
    assert torch.equal(_mps.ndtri(u), torch.special.ndtri(u))
