"""Augmentation of whole batches of small images, every draw from a generator the caller gives.

Small images are augmented as tensors, a batch at a time: one image at a time would cost as much as
the small networks themselves.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F


def generator(*key: object) -> torch.Generator:
    """A generator that depends on `key` alone, so that any batch of any epoch can be made again."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def random_crop(images: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Cut a (size, size) window out of each image, anywhere.

    Args:
        images: (N, C, H, W), H and W at least `size`.
    Returns:
        (N, C, size, size).
    """
    count, _, height, width = images.shape
    top = torch.randint(height - size + 1, (count, 1), generator=random)
    left = torch.randint(width - size + 1, (count, 1), generator=random)
    window = torch.arange(size)
    rows = (top + window)[:, None, :, None]  # (N, 1, size, 1)
    columns = (left + window)[:, None, None, :]  # (N, 1, 1, size)
    sample = torch.arange(count)[:, None, None, None]
    channel = torch.arange(images.shape[1])[None, :, None, None]
    return images[sample, channel, rows, columns]


def center_crop(images: Tensor, size: int) -> Tensor:
    """The middle (size, size) window of each image."""
    top = (images.shape[-2] - size) // 2
    left = (images.shape[-1] - size) // 2
    return images[..., top : top + size, left : left + size]


def random_flip(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror half of the images left to right."""
    chosen = torch.rand(len(images), generator=random) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def standardise(images: Tensor) -> Tensor:
    """Each image with mean 0 and standard deviation 1; a flat image becomes zero."""
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp_min(1e-6)


def equalise(images: Tensor) -> Tensor:
    """Replace each grey level by the share of the image's pixels below it, half of its own added.

    What is left is which pixel is brighter than which; the histogram is the same for every image.

    Args:
        images: (N, 1, H, W) uint8.
    Returns:
        (N, 1, H, W) uint8, spread evenly over 0..255.
    """
    pixels = images.flatten(1).long()
    counts = torch.zeros(len(images), 256, dtype=torch.int64)
    counts.scatter_add_(1, pixels, torch.ones_like(pixels))
    twice_below = 2 * counts.cumsum(1) - counts
    levels = twice_below * 255 // (2 * pixels.shape[1])
    return levels.gather(1, pixels).to(torch.uint8).view_as(images)


def random_focus(images: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Blur some images and sharpen others, by up to `strength` times a 3 x 3 binomial filter."""
    smooth = torch.tensor([0.25, 0.5, 0.25])
    kernel = (smooth[:, None] * smooth).expand(images.shape[1], 1, 3, 3)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    blurred = F.conv2d(padded, kernel, groups=images.shape[1])
    amount = 2 * torch.rand(len(images), generator=random)[:, None, None, None] - 1
    return images + strength * amount * (blurred - images)


def random_lighting(images: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Add a ramp of brightness of random direction and of slope up to `strength`."""
    ramp = _random_ramp(images, random)
    amount = torch.rand(len(images), generator=random)[:, None, None, None]
    return images + strength * amount * ramp


def random_noise(images: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Add Gaussian noise that grows across each image from nothing to up to `strength`.

    Its direction and strength differ from image to image: a filter that fits one side of one image
    fits neither its other side nor the next image.
    """
    growth = (1 + _random_ramp(images, random)) / 2
    amount = torch.rand(len(images), generator=random)[:, None, None, None]
    noise = torch.randn(images.shape, generator=random)
    return images + strength * amount * growth * noise


def _random_ramp(images: Tensor, random: torch.Generator) -> Tensor:
    """(N, 1, H, W), from -1 to 1 across each image, in a direction of its own."""
    count, _, height, width = images.shape
    angle = 2 * torch.pi * torch.rand(count, 1, 1, 1, generator=random)
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)
    reach = angle.sin().abs() + angle.cos().abs()
    return (angle.sin() * y + angle.cos() * x) / reach
