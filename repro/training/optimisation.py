"""Optimisers, and what follows the epoch: the learning rate and the attentions' temperature."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from repro.training.config import TrainConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over `parameters` that require a gradient."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise ValueError("the model has no parameters to train")
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            trained,
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
        )
    adam = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return adam(trained, lr=config.lr, weight_decay=config.weight_decay)


def learning_rate(config: TrainConfig, epoch: float) -> float:
    """Learning rate after `epoch` epochs; a fraction of an epoch is the share of its steps taken.

    It is a function of the position alone: a resumed run needs no scheduler's state.

    Args:
        epoch: 0 before the first step, `config.epochs` after the last.
    """
    if epoch < config.warmup_epochs:
        return config.warmup_lr + (config.lr - config.warmup_lr) * epoch / config.warmup_epochs
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "step":
        passed = sum(milestone <= epoch for milestone in config.milestones)
        return config.lr * config.gamma**passed
    share = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * share)) / 2


def annealing_progress(config: TrainConfig, epoch: float) -> float:
    """How far temperatures are on their way after `epoch` epochs: 0 at the start, 1 at the end.

    Like the learning rate a function of the position alone; `repro.nn.anneal_temperature` takes it.

    Args:
        epoch: 0 before the first step, `config.epochs` after the last.
    """
    length = config.annealing_epochs
    if length is None:
        length = min(10.0, config.epochs / 2)
    return 1.0 if epoch >= length else epoch / length


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the rate of this step."""
    for group in optimizer.param_groups:
        group["lr"] = lr
