"""Joint depth upsampling: coarse depth and a full-resolution photograph to full-resolution depth.

Every network sees depth scaled by the least and the greatest of its coarse samples, as PAC's does
(arXiv 1904.05373, section 5), so that metres and pixels of disparity train alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from repro.data.augment import generator
from repro.data.low_resolution import SAMPLINGS, downsample, fill_holes, sample_offset
from repro.data.rgbd import RGBDData, RGBDPair, crop_to_multiple
from repro.models.joint_upsampling import UPSAMPLERS, build_upsampler
from repro.names import require_known
from repro.tasks.depth_error import BORDER, counted, edge_band, rmse

LOSSES = ("l2", "l1")

Batch = dict[str, Tensor]
"""low (N, 1, h, w) and target (N, 1, H, W), scaled, the target NaN where unknown; rgb (N, 3, H, W),
normalised; floor and span (N,): stored depth = floor + span * scaled depth."""

Upsampler = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]
"""(h, w) depth without holes and (H, W, 3) photograph to (H, W) depth, in stored units."""

# Of ImageNet's photographs, by custom.
_RGB_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_RGB_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@dataclass(frozen=True)
class Example:
    """One photograph with its depth, coarse and full.

    Attributes:
        rgb: (H, W, 3) uint8.
        low: (h, w) float32, stored units, holes filled from the nearest sample.
        depth: (H, W) float32, NaN where unknown.
        filled: how many coarse samples were unknown.
    """

    rgb: NDArray[np.uint8]
    low: NDArray[np.float32]
    depth: NDArray[np.float32]
    filled: int


def example(
    rgb: NDArray[np.uint8], depth: NDArray[np.float32], factor: int, sampling: str
) -> Example:
    """Take the coarse samples of a depth map whose sides are multiples of `factor`."""
    full = torch.from_numpy(np.ascontiguousarray(depth))[None, None]
    low, filled = fill_holes(downsample(full, factor, sampling)[0, 0].numpy())
    return Example(rgb, low, depth, filled)


def as_batch(examples: Sequence[Example]) -> Batch:
    """Examples of one size as the tensors a network takes."""
    floors = torch.tensor([float(one.low.min()) for one in examples])
    spans = torch.tensor([float(np.ptp(one.low)) or 1.0 for one in examples])

    def scaled(maps: Sequence[NDArray[np.float32]]) -> Tensor:
        stacked = torch.from_numpy(np.stack(maps)[:, None])
        return (stacked - floors[:, None, None, None]) / spans[:, None, None, None]

    rgb = torch.from_numpy(np.stack([one.rgb for one in examples])).movedim(3, 1).float() / 255
    return {
        "low": scaled([one.low for one in examples]),
        "target": scaled([one.depth for one in examples]),
        "rgb": (rgb - _RGB_MEAN) / _RGB_DEVIATION,
        "floor": floors,
        "span": spans,
    }


@dataclass(frozen=True)
class ImageError:
    """How far one upsampled depth map is off.

    Attributes:
        image: name of the pair.
        rmse: in the dataset's unit, the border left out.
        edge_rmse: the same, within a band around depth edges; None where there is no edge.
        pixels, edge_pixels: how many known pixels each is taken over.
        filled: coarse samples that were unknown and got their nearest neighbour's depth.
    """

    image: str
    rmse: float
    edge_rmse: float | None
    pixels: int
    edge_pixels: int
    filled: int


def image_error(
    prediction: NDArray[np.float32], pair: RGBDPair, scale: float, filled: int = 0
) -> ImageError:
    """Compare a prediction with the truth; `scale` turns stored depth into the reported unit."""
    band = edge_band(pair.depth)
    edges = int(counted(pair.depth, mask=band).sum())
    return ImageError(
        pair.name,
        scale * rmse(prediction, pair.depth),
        scale * rmse(prediction, pair.depth, mask=band) if edges else None,
        int(counted(pair.depth).sum()),
        edges,
        filled,
    )


def measure(
    upsample: Upsampler, whole: RGBDPair, factor: int, sampling: str, scale: float
) -> ImageError:
    """Upsample one pair, cropped to whole coarse pixels, and compare."""
    pair = crop_to_multiple(whole, factor)
    one = example(pair.rgb, pair.depth, factor, sampling)
    return image_error(upsample(one.low, one.rgb), pair, scale, one.filled)


class CropBatches:
    """One epoch of random crops; each is a function of (seed, epoch, its number) alone."""

    def __init__(self, task: JointUpsamplingTask, batch_size: int, seed: int, epoch: int) -> None:
        self.task, self.batch_size, self.key = task, batch_size, (seed, epoch)
        # Every image once before any comes again.
        pairs, crops = len(task.learnt), task.crops_per_epoch
        rounds = [
            torch.randperm(pairs, generator=generator("order", *self.key, number))
            for number in range(-(-crops // pairs))
        ]
        self.order: list[int] = torch.cat(rounds)[:crops].tolist()

    def __len__(self) -> int:
        return max(1, len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Batch]:
        for number in range(step, len(self)):
            first = number * self.batch_size
            positions = range(first, min(first + self.batch_size, len(self.order)))
            yield as_batch([self._crop(position) for position in positions])

    def _crop(self, position: int) -> Example:
        task = self.task
        pair = task.data.train[task.learnt[self.order[position]]]
        random = generator("crop", *self.key, position)
        height, width = pair.depth.shape
        size = task.crop
        top, left = (
            int(torch.randint(side - size + 1, (1,), generator=random)) for side in (height, width)
        )
        window = np.s_[top : top + size, left : left + size]
        rgb, depth = pair.rgb[window], pair.depth[window]
        if torch.rand(1, generator=random) < 0.5:
            rgb, depth = rgb[:, ::-1], depth[:, ::-1]
        return example(rgb, depth, task.factor, task.sampling)


class JointUpsamplingTask:
    """Train one network for one factor; see `repro.tasks.task.Task`.

    `evaluate` is given training images that were held out; the test images are for
    `measure`, once, after training.

    Args:
        method: a name of `repro.models.joint_upsampling.learned_names()`.
        factor: how many times finer the result is, along each side.
        data: the dataset.
        sampling: where coarse depth is taken from, see `repro.data.low_resolution`.
        crop: side of the training crops, a multiple of the factor.
        crops_per_epoch: None takes one of every image.
        held_out: how many training pairs, evenly spaced, are kept from training to measure
            progress with.
        loss: "l2" (mean square, PAC's) or "l1"; over known pixels, of scaled depth. DDF's is not
            published; a variant of the registry may have its own.
        options: keyword arguments of the network.
    Raises:
        UnknownNameError: no such method, sampling or loss.
        ValueError: a crop that does not fit, too few training pairs, none at all (DataError).
    Source: DDF (arXiv 2104.14107), section 6.2; the protocol of PAC (arXiv 1904.05373), section 5.
    Deviates: the images are cropped, not resized before (DDF names no size); horizontal flips as in
        PAC's code.
    """

    metric = "rmse"

    def __init__(
        self,
        method: str,
        factor: int,
        data: RGBDData,
        *,
        sampling: str = "centre",
        crop: int = 256,
        crops_per_epoch: int | None = None,
        held_out: int = 4,
        loss: str = "l2",
        **options: Any,
    ) -> None:
        self.method = require_known("method", method, UPSAMPLERS)
        self.name = f"{method} {factor}x"
        self.sampling = require_known("sampling", sampling, SAMPLINGS)
        self.loss = require_known("loss", UPSAMPLERS[method].loss or loss, LOSSES)
        self.factor, self.data, self.crop, self.options = factor, data, crop, options
        count = len(data.require_train())
        if not 0 < held_out < count:
            raise ValueError(
                f"{data.name} has {count} training pairs; held_out must lie between 0 and that, "
                f"got {held_out}"
            )
        self.held_out = [(2 * number + 1) * count // (2 * held_out) for number in range(held_out)]
        self.learnt = [number for number in range(count) if number not in self.held_out]
        self.crops_per_epoch = crops_per_epoch or len(self.learnt)
        height, width = data.train[0].depth.shape
        if crop < factor or crop % factor or crop > min(height, width):
            raise ValueError(
                f"crop must be a multiple of factor={factor} and fit into {height}x{width}, "
                f"got {crop}"
            )

    def identity(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "factor": self.factor,
            "sampling": self.sampling,
            "crop": self.crop,
            "crops_per_epoch": self.crops_per_epoch,
            "held_out": len(self.held_out),
            "loss": self.loss,
            "options": self.options,
            "dataset": self.data.name,
            "data": self.data.fingerprint,
        }

    def build_model(self) -> nn.Module:
        offset = sample_offset(self.sampling, self.factor)
        return build_upsampler(self.method, self.factor, offset=offset, **self.options)

    def train_batches(self, batch_size: int, seed: int, epoch: int) -> CropBatches:
        return CropBatches(self, batch_size, seed, epoch)

    def test_batches(self, batch_size: int) -> Iterator[Batch]:
        """The held-out training images, whole, one at a time."""
        for number in self.held_out:
            pair = crop_to_multiple(self.data.train[number], self.factor)
            yield as_batch([example(pair.rgb, pair.depth, self.factor, self.sampling)])

    def images_in(self, batch: Batch) -> int:
        return len(batch["low"])

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        prediction, target = model(batch["low"], batch["rgb"]), batch["target"]
        known = ~torch.isnan(target)
        measure = F.mse_loss if self.loss == "l2" else F.l1_loss
        return {self.loss: measure(prediction[known], target[known])}

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean RMSE of the held-out images in the dataset's unit, the border left out."""
        errors = []
        for batch in batches:
            off = (model(batch["low"], batch["rgb"]) - batch["target"]).double()
            inside = off[..., BORDER:-BORDER, BORDER:-BORDER] * batch["span"][:, None, None, None]
            errors.append(inside.square().nanmean((1, 2, 3)).sqrt().cpu())
        return {"rmse": self.data.unit_scale * torch.cat(errors).mean().item()}

    def upsampler(self, model: nn.Module) -> Upsampler:
        """The trained network as a function of arrays in stored units."""
        device = next(model.parameters()).device

        def upsample(low: NDArray[np.float32], rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
            unknown = np.full(rgb.shape[:2], np.nan, np.float32)
            batch = as_batch([Example(rgb, low, unknown, 0)])
            with torch.no_grad():
                scaled = model(batch["low"].to(device), batch["rgb"].to(device)).float().cpu()
            depth: NDArray[np.float32] = (scaled * batch["span"] + batch["floor"])[0, 0].numpy()
            return depth

        return upsample
