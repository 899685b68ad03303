"""A task small enough to train hundreds of steps in a second, with everything that can go wrong.

It draws augmentation, uses dropout (global generator) and batch norm (running state), has two
losses and a last batch that is smaller than the others.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Batches(list):
    def starting_at(self, step):
        return iter(self[step:])


class SmallTask:
    name, metric = "small", "accuracy"

    def __init__(self, images: int = 50, build=None, loss_names=("main", "side")):
        generator = torch.Generator().manual_seed(0)
        self.y = torch.arange(images) % 2
        brightness = self.y.view(-1, 1, 1, 1) - 0.5
        self.x = torch.randn(images, 1, 6, 6, generator=generator) + brightness
        self.build, self.loss_names = build or small_network, loss_names

    def identity(self):
        return {"images": len(self.x), "losses": list(self.loss_names)}

    def build_model(self):
        return self.build()

    def train_batches(self, batch_size, seed, epoch):
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(self.x), generator=generator)
        noise = torch.randn(self.x.shape, generator=generator) / 10
        x = self.x + noise
        return Batches((x[rows], self.y[rows]) for rows in order.split(batch_size))

    def test_batches(self, batch_size):
        return zip(self.x.split(batch_size), self.y.split(batch_size), strict=True)

    def images_in(self, batch):
        return len(batch[0])

    def losses(self, model, batch):
        x, y = batch
        out = model(x)
        main = F.cross_entropy(out, y)
        return dict(zip(self.loss_names, (main, out.square().mean() / 100), strict=False))

    def evaluate(self, model, batches):
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches)
        return {"accuracy": 100 * right / len(self.x)}


def small_network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(64, 2),
    )
