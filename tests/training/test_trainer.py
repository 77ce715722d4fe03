import pytest

from sklearn_vae.training._trainer import resolve_epochs


@pytest.mark.parametrize(("n", "epochs"), [(40, 200), (60_000, 10), (10**6, 10), (15_000, 40)])
def test_auto_epochs_follow_the_size_of_the_data(n, epochs):
    assert resolve_epochs("auto", n) == epochs
    assert resolve_epochs(7, n) == 7
