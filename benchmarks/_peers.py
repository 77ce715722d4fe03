"""The same VAE trained by others: a hand-written loop, skorch's defaults, pythae, Lightning, PyOD.

Each ``train_*`` function gets uint8 images, a network of this package, and the settings of
:class:`Recipe`, trains, and returns the trained :class:`PlainVAE`. PyOD builds a net of its own and
returns None. Those whose library is missing raise ImportError.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_vae.nn import Network


@dataclass
class Recipe:
    """What all are trained with: a net, its latent dimensions, Adam at a constant rate."""

    network: Network
    z_dim: int
    batch_size: int = 128
    epochs: int = 1
    lr: float = 1e-3
    device: str = "cpu"


class PlainVAE(nn.Module):
    """Encoder, two heads, decoder and the Bernoulli ELBO, as one writes them by hand."""

    def __init__(self, network: Network, z_dim: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = network.encoder(shape)
        with torch.no_grad():
            width = prod(self.encoder(torch.zeros(2, *shape)).shape[1:])
        self.loc, self.log_var = nn.Linear(width, z_dim), nn.Linear(width, z_dim)
        self.decoder = network.decoder(z_dim, shape)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z|x)."""
        h = self.encoder(x).flatten(1)
        return self.loc(h), self.log_var(h)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the decoder's logits, mean and log variance."""
        loc, log_var = self.encode(x)
        z = loc + torch.randn_like(loc) * (0.5 * log_var).exp()
        return self.decoder(z), loc, log_var


def negative_elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    """Return minus the mean ELBO in nats."""
    logits, loc, log_var = output
    cross_entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * (1 + log_var - loc.square() - log_var.exp()).sum()
    return (cross_entropy + kl) / len(x)


def as_tensor(X: np.ndarray | Tensor, device: str = "cpu") -> Tensor:
    """Return uint8 images or rows as float32 in [0, 1], channels first."""
    x = torch.as_tensor(X).to(device).float() / 255
    return x if x.dim() == 2 else (x[:, None] if x.dim() == 3 else x.permute(0, 3, 1, 2))


def train_loop(X: np.ndarray, recipe: Recipe) -> PlainVAE:
    """Train by a loop as a good engineer writes it: all data on the device, fused Adam."""
    x = as_tensor(X, recipe.device).contiguous()
    vae = PlainVAE(recipe.network, recipe.z_dim, tuple(x.shape[1:])).to(recipe.device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=recipe.lr, fused=True)
    vae.train()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x), device=recipe.device).split(recipe.batch_size):
            batch = x[rows]
            loss = negative_elbo(vae(batch), batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return vae.eval()


class SkorchCriterion(nn.Module):
    """The loss in the form that skorch calls."""

    def forward(self, output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Return minus the ELBO."""
        return negative_elbo(output, target)


def train_skorch(X: np.ndarray, recipe: Recipe) -> PlainVAE:
    """Train by a plain skorch NeuralNet with its default loader and callbacks."""
    from skorch import NeuralNet

    x = as_tensor(X).contiguous()
    net = NeuralNet(
        PlainVAE(recipe.network, recipe.z_dim, tuple(x.shape[1:])),
        criterion=SkorchCriterion,
        optimizer=torch.optim.Adam,
        lr=recipe.lr,
        batch_size=recipe.batch_size,
        max_epochs=recipe.epochs,
        train_split=None,
        iterator_train__shuffle=True,
        device=recipe.device,
        verbose=0,
    )
    net.fit(x, x)
    return net.module_.eval()


def train_lightning(X: np.ndarray, recipe: Recipe) -> PlainVAE:
    """Train by a Lightning Trainer with a plain DataLoader."""
    import lightning

    x = as_tensor(X).contiguous()
    vae = PlainVAE(recipe.network, recipe.z_dim, tuple(x.shape[1:]))

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.vae = vae

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return negative_elbo(self.vae(batch[0]), batch[0])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.vae.parameters(), lr=recipe.lr)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x), batch_size=recipe.batch_size, shuffle=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator="gpu" if recipe.device == "cuda" else "cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(Module(), loader)
    return vae.eval()


def train_pythae(X: np.ndarray, recipe: Recipe) -> PlainVAE:
    """Train by pythae's VAE and BaseTrainer, the same modules inside."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    x = as_tensor(X).contiguous()
    shape = tuple(x.shape[1:])
    vae = PlainVAE(recipe.network, recipe.z_dim, shape)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.loc, self.log_var = vae.encoder, vae.loc, vae.log_var

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.layers(x).flatten(1)
            return ModelOutput(embedding=self.loc(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = vae.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    logging.getLogger("pythae").setLevel(logging.ERROR)
    config = VAEConfig(input_dim=shape, latent_dim=recipe.z_dim, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model,
            _PythaeDataset(x),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=recipe.epochs,
                learning_rate=recipe.lr,
                per_device_train_batch_size=recipe.batch_size,
                no_cuda=recipe.device == "cpu",
            ),
        )
        trainer.train()
    return vae.eval()


class _PythaeDataset(torch.utils.data.Dataset):
    """pythae's BaseDataset without labels; its own copies the labels for each sample."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int):
        from pythae.data.datasets import DatasetOutput

        return DatasetOutput({"data": self.x[index]})


def train_pyod(X: np.ndarray, recipe: Recipe) -> None:
    """Train by PyOD's VAE, its own fully connected net of the same widths."""
    from pyod.models.vae import VAE

    hidden = list(recipe.network.hidden)
    VAE(
        epoch_num=recipe.epochs,
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        latent_dim=recipe.z_dim,
        encoder_neuron_list=hidden,
        decoder_neuron_list=hidden[::-1],
        dropout_rate=0.0,
        output_activation_name="sigmoid",
        preprocessing=False,
        optimizer_params={},
        device=torch.device(recipe.device),
        verbose=0,
    ).fit(X.reshape(len(X), -1).astype(np.float32) / 255)


PEERS = {
    "hand-written loop": train_loop,
    "skorch defaults": train_skorch,
    "pythae": train_pythae,
    "Lightning": train_lightning,
    "PyOD": train_pyod,
}
"""Training functions by the name in the tables."""
