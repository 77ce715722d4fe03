"""The lean Adam against torch's own, bit for bit, over whatever happens to an optimiser."""

import copy
import io

import joblib
import pytest
import torch
from torch import nn

from sklearn_vae.training._adam import Adam


def pair(**settings):
    """Return two equal nets with torch's and our optimiser."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    twin = copy.deepcopy(net)
    torchs = torch.optim.Adam(net.parameters(), fused=True, **settings)
    return (net, torchs), (twin, Adam(twin.parameters(), **settings))


def step(net, optimizer, k, only=slice(None)):
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(k))
    for p in net.parameters():
        p.grad = None
    net[only](x[:, : net[only][0].in_features]).square().sum().backward()
    optimizer.step()


def assert_equal(one, other):
    for a, b in zip(one[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(a, b)
    state, same = (optimizer.state_dict() for _, optimizer in (one, other))
    assert state["param_groups"] == same["param_groups"]
    for k, values in state["state"].items():
        assert values.keys() == same["state"][k].keys()
        assert all(torch.equal(v, same["state"][k][name]) for name, v in values.items())
    assert state["state"].keys() == same["state"].keys()


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_decay": 0.1, "betas": (0.5, 0.9)}, {"amsgrad": True}, {"maximize": True}],
)
def test_steps_are_torchs(settings):
    both = pair(lr=0.01, **settings)
    for k in range(5):
        for each in both:
            step(*each, k)
            each[1].param_groups[0]["lr"] *= 0.9  # as a schedule does
        assert_equal(*both)


def test_weights_without_gradients_stay_until_they_have_one():
    both = pair(lr=0.01)
    for k, only in enumerate([slice(0, 1), slice(0, 1), slice(0, 3), slice(0, 3), slice(0, 1)]):
        for each in both:
            step(*each, k, only)
        assert_equal(*both)


def test_a_loaded_state_is_the_one_that_is_changed():
    both = pair(lr=0.01)
    for each in both:
        for k in range(3):
            step(*each, k)
    states = [copy.deepcopy(optimizer.state_dict()) for _, optimizer in both]
    for each, state in zip(both, states, strict=True):
        step(*each, 3)
        each[1].load_state_dict(state)
        step(*each, 4)
    assert_equal(*both)


@pytest.mark.parametrize("how", [copy.deepcopy, "joblib"])
def test_copies_have_a_life_of_their_own(how):
    def copied(each):
        if how != "joblib":
            return how(each)
        file = io.BytesIO()
        joblib.dump(each, file)
        file.seek(0)
        return joblib.load(file)

    both = pair(lr=0.01)
    for each in both:
        step(*each, 0)
    copies = [copied(each) for each in both]
    before = copy.deepcopy(both)
    for each in copies:
        step(*each, 1)
    assert_equal(*copies)
    assert_equal(both[1], before[1])


def test_another_group_takes_part():
    both = pair(lr=0.01)
    added = [nn.Parameter(torch.ones(2)) for _ in both]
    for each, weight in zip(both, added, strict=True):
        step(*each, 0)
        each[1].add_param_group({"params": [weight], "lr": 0.5})
        weight.grad = torch.ones(2)
        step(*each, 1)
    assert_equal(*both)
    assert torch.equal(*added)
    assert (added[0] < 1).all()


def test_hooks_and_closures_are_called_once_a_step():
    _, (_, optimizer) = pair(lr=0.01)
    calls = []
    optimizer.register_step_pre_hook(lambda *args: calls.append("before"))
    optimizer.register_step_post_hook(lambda *args: calls.append("after"))
    assert optimizer.step(lambda: calls.append("closure") or 3.0) == 3.0
    assert calls == ["before", "closure", "after"]
