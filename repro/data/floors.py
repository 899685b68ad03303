"""What classifiers without a network reach: a result means little until it clears these.

All are computed without chance, in float64 where a solver is involved.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def measure(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
) -> dict[str, float]:
    """Top-1 test accuracy, percent, of each trivial classifier.

    Args:
        train, test: (N, 1, H, W), standardised patches, disturbed alike.
        train_labels, test_labels: (N,).
    Returns:
        By name: `chance`; `nearest_mean` and `nearest_neighbour` of the pixels; `linear_pixels` and
        `linear_histogram`, ridge regression to the classes; on twelve statistics of each patch,
        logistic regression (`logistic_statistics`) and a Gaussian per class
        (`gaussian_statistics`).
    """
    classes = int(train_labels.max()) + 1
    nearest = torch.cdist(test.flatten(1), train.flatten(1)).argmin(1)
    train, test = train.double(), test.double()
    means = torch.stack([train[train_labels == k].mean(0).flatten() for k in range(classes)])
    numbers = _statistics(train), train_labels, _statistics(test)
    predictions = {
        "nearest_mean": torch.cdist(test.flatten(1), means).argmin(1),
        "nearest_neighbour": train_labels[nearest],
        "linear_pixels": _linear(train.flatten(1), train_labels, test.flatten(1), ridge=1e-1),
        "linear_histogram": _linear(_histogram(train), train_labels, _histogram(test)),
        "logistic_statistics": _logistic(*numbers),
        "gaussian_statistics": _gaussian(*numbers),
    }
    accuracy = {
        name: round(100 * (labels == test_labels).double().mean().item(), 2)
        for name, labels in predictions.items()
    }
    return {"chance": round(100 / classes, 2), **accuracy}


def _linear(train: Tensor, labels: Tensor, test: Tensor, ridge: float = 1e-3) -> Tensor:
    """Ridge regression of one-hot labels; (N_test,) predictions."""
    train, test = _comparable(train, test)
    normal = train.T @ train / len(train) + ridge * torch.eye(train.shape[1], dtype=train.dtype)
    targets: Tensor = F.one_hot(labels).double()
    weight: Tensor = torch.linalg.solve(normal, train.T @ (targets - targets.mean(0)) / len(train))
    return (test @ weight + targets.mean(0)).argmax(1)


def _logistic(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Multinomial logistic regression, nearly unregularised; (N_test,) predictions."""
    train, test = (F.pad(x, (0, 1), value=1.0) for x in _comparable(train, test))
    weight = train.new_zeros(train.shape[1], int(labels.max()) + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.cross_entropy(train @ weight, labels) + 1e-4 * weight.square().sum()
        torch.autograd.backward(value)
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    return (test @ weight).argmax(1)


def _gaussian(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """A Gaussian per class (quadratic discriminant analysis); (N_test,) predictions."""
    train, test = _comparable(train, test)
    scores = []
    for k in range(int(labels.max()) + 1):
        mine = train[labels == k]
        spread = mine.T.cov() + 1e-2 * torch.eye(mine.shape[1], dtype=mine.dtype)
        offset = test - mine.mean(0)
        distance = (offset * torch.linalg.solve(spread, offset.T).T).sum(1)
        scores.append(-distance - torch.logdet(spread))
    return torch.stack(scores, 1).argmax(1)


def _comparable(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Each feature shifted and scaled to mean 0 and deviation 1 over the training set."""
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-9)
    return (train - mean) / deviation, (test - mean) / deviation


def _histogram(patches: Tensor) -> Tensor:
    """Share of pixels in each of 24 bins from -3 to 3 deviations: (N, 24)."""
    edges = torch.linspace(-3, 3, 25, dtype=patches.dtype)[1:-1]
    bins = torch.bucketize(patches.flatten(1), edges)
    counts = torch.zeros(len(patches), 24, dtype=torch.float64)
    return counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float64)) / bins.shape[1]


def _statistics(patches: Tensor) -> Tensor:
    """Skewness, kurtosis, and energy and kurtosis of first and second differences: (N, 12)."""
    across, down = patches.diff(dim=-1), patches.diff(dim=-2)
    differences = [across, down, across.diff(dim=-1), down.diff(dim=-2), across.diff(dim=-2)]
    columns = [_moment(patches, 3), _moment(patches, 4)]
    for difference in differences:
        energy = _moment(difference, 2).clamp_min(1e-9)
        columns += [energy.log(), _moment(difference, 4) / energy.square()]
    return torch.stack(columns, 1)


def _moment(values: Tensor, order: int) -> Tensor:
    """(N,) mean of a power; by products, since `pow` is slow."""
    power = values
    for _ in range(order - 1):
        power = power * values
    return power.mean((1, 2, 3))
