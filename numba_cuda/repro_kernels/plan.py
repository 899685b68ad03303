"""From the shapes of a call to the kernels that run it, each with its grid and its integers."""

from __future__ import annotations

from math import prod

from repro_kernels import blocks as block_sizes
from repro_kernels.blocks import WARP
from repro_kernels.choice import SMALLEST_CHUNK, Call, choose
from repro_kernels.ddf import KERNELS, Variant
from repro_kernels.ddf_row import rows_per_thread
from repro_kernels.steps import Plan, Step

BACKWARD = ("backward_x", "backward_channel", "backward_spatial")


def plan_forward(call: Call, form: str | None = None) -> Plan:
    """One launch, or none for an empty output.

    Raises:
        ValueError: `form` cannot take the call.
    """
    form = "up" if call.scale_factor > 1 else choose("forward", call, form)
    if prod(call.shape) == 0:
        return Plan((), {})
    step = _step("forward", form, call, _sizes("forward", form, call))
    if call.norm_scale and "norm_scale" not in KERNELS["forward", form].constants:
        return _standardised(call, [step], {})
    return Plan((step,), {})


def plan_backward(call: Call, form: str | None = None) -> Plan:
    """The gradients of x, channel filter and spatial filter, as far as they have elements.

    Raises:
        ValueError: `form` cannot take the call.
    """
    if call.scale_factor > 1:
        chosen = dict.fromkeys(BACKWARD, "up")
    else:
        chosen = {kernel: choose(kernel, call, form) for kernel in BACKWARD}
    if prod(call.shape) == 0:  # without channels, the spatial filter has a gradient of zeros
        if call.shape[0] == 0:
            return Plan((), {})
        chosen = {"backward_spatial": "up" if call.scale_factor > 1 else "general"}
    elif chosen["backward_x"] == chosen["backward_channel"] == "vector":
        chosen = {
            "backward_x_channel": "vector",
            "backward_spatial": chosen["backward_spatial"],
        }
    steps, scratch = [], {}
    for kernel, its_form in chosen.items():
        sizes = _sizes(kernel, its_form, call)
        step = _step(kernel, its_form, call, sizes)
        steps.append(step)
        if "parts" in step.tensors:
            taps = (call.scale_factor * call.kernel_size) ** 2
            scratch["parts"] = (sizes["blocks"], *call.shape[:2], taps)
            steps.append(_step("backward_channel_sum", "row", call, sizes))
    if call.norm_scale:
        return _standardised(call, steps, scratch)
    return Plan(tuple(steps), scratch)


def _standardised(call: Call, steps: list[Step], scratch: dict[str, tuple[int, ...]]) -> Plan:
    """The steps on filters that a first one standardises; a last one takes their gradient on."""
    height_out, width_out = call.size_out
    filters = call.shape[0] * call.scale_factor**2
    shape = (filters, call.kernel_size**2, height_out, width_out)
    sizes = {"pixels": height_out * width_out, "jobs": filters * height_out * width_out}
    own = {"spatial_filter": "standardised", "grad_spatial": "grad_standardised"}
    has_gradient = any("grad_spatial" in step.tensors for step in steps)
    steps = [s._replace(tensors=tuple(own.get(name, name) for name in s.tensors)) for s in steps]
    steps.insert(0, _step("standardise", "general", call, sizes))
    scratch = {**scratch, "standardised": shape}
    if has_gradient:
        steps.append(_step("standardise_backward", "general", call, sizes))
        scratch["grad_standardised"] = shape
    return Plan(tuple(steps), scratch)


def _step(kernel: str, form: str, call: Call, sizes: dict[str, int]) -> Step:
    made = KERNELS[kernel, form]
    known = {**sizes, "norm_scale": call.norm_scale}
    constants = {name: known[name] for name in made.constants}
    variant = Variant(kernel, form, call.kernel_size, call.kernel_combine, call.dtype, **constants)
    return Step(
        variant,
        _count_blocks(kernel, form, sizes),
        block_sizes.THREADS,
        made.tensors,
        tuple(sizes[name] for name in made.sizes),
    )


def _sizes(kernel: str, form: str, call: Call) -> dict[str, int]:
    """Every integer that a kernel of this form may ask for, by name.

    `groups` are bundles of rows of the output, one per column and thread; `blocks` cover the pixels
    of one image; `jobs` are all threads.
    """
    batch, channels, height, width = call.shape
    height_out, width_out = call.size_out
    rows = 1
    if form == "row":
        rows = rows_per_thread(call.kernel_size, call.dtype)
        rows = max(1, rows // 2) if kernel == "backward_spatial" else rows
    groups = call.dilation * _divide_up(_divide_up(height_out, call.dilation), rows)
    threads_of_image = {
        "vector": height * width // 4,
        "row": groups * width_out,
        "up": height * width,
        "general": 0,
    }[form]
    lanes = WARP if kernel == "backward_spatial" else block_sizes.THREADS
    blocks = _divide_up(threads_of_image, lanes)
    sums_taps = form != "vector" and kernel == "backward_channel"
    chunk = block_sizes.SUMMED_CHANNELS if sums_taps else block_sizes.CHANNELS
    while chunk > SMALLEST_CHUNK and (
        chunk >= 2 * channels or batch * _divide_up(channels, chunk) * blocks < block_sizes.WANTED
    ):
        chunk //= 2
    chunks = 1 if kernel == "backward_spatial" else _divide_up(channels, chunk)
    return {
        "batch": batch,
        "channels": channels,
        "height": height,
        "width": width,
        "height_out": height_out,
        "width_out": width_out,
        "kernel_size": call.kernel_size,
        "scale_factor": call.scale_factor,
        "stride": call.stride,
        "dilation": call.dilation,
        "chunk": chunk,
        "chunks": chunks,
        "groups": groups,
        "blocks": blocks,
        "jobs": batch * chunks * threads_of_image,
    }


def _count_blocks(kernel: str, form: str, sizes: dict[str, int]) -> int:
    if kernel.startswith("standardise"):
        return _divide_up(sizes["jobs"], block_sizes.THREADS)
    batch, channels = sizes["batch"], sizes["channels"]
    if form == "general":
        if kernel == "backward_channel":
            return batch * channels * sizes["kernel_size"]
        chunks = _divide_up(channels, block_sizes.GENERAL_CHANNELS)
        pixels, pixels_out = (sizes["height" + of] * sizes["width" + of] for of in ("", "_out"))
        threads = {
            "forward": batch * chunks * pixels_out,
            "backward_x": batch * chunks * pixels,
            "backward_spatial": batch * sizes["kernel_size"] * pixels_out,
        }[kernel]
        return _divide_up(threads, block_sizes.THREADS)
    if kernel == "backward_channel_sum":
        taps = (sizes["scale_factor"] * sizes["kernel_size"]) ** 2
        return _divide_up(batch * channels * taps, block_sizes.THREADS)
    if form == "vector" or kernel == "backward_channel":
        return batch * sizes["chunks"] * sizes["blocks"]
    lanes = WARP if kernel == "backward_spatial" else block_sizes.THREADS
    return _divide_up(sizes["jobs"], lanes)


def _divide_up(a: int, b: int) -> int:
    return -(-a // b)
