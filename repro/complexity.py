"""What a network costs: parameters, operations and activation memory, counted without running it.

The network runs once on the meta device, where tensors have shapes but no values, and every
operator that PyTorch dispatches is counted, `torch.ops.repro.*` included. Operations are kept apart
by kind, because papers and counting tools disagree on which kinds to add up: `CONVENTIONS` names
the sums, and "mac" is ours wherever no other is named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from repro.names import require_known

# What one unit of each kind of operation counts for.
CONVENTIONS: Mapping[str, Mapping[str, float]] = {
    # One multiply-accumulate is one operation: the tables' "FLOPs" (ResNet-50 = 4.1 G at 224x224).
    "mac": {"convolution": 1, "linear": 1, "dynamic_filter": 1, "weight_product": 1},
    # The same with Fourier transforms: 2.5 n log2 n for each of n real values.
    "mac_and_fft": {
        "convolution": 1,
        "linear": 1,
        "dynamic_filter": 1,
        "weight_product": 1,
        "fft": 1,
    },
    # The same with what module-hook counters add: biases, batch norm (a multiplication and an
    # addition), activations and pools, one operation per element.
    "mac_and_elements": {
        "convolution": 1,
        "linear": 1,
        "dynamic_filter": 1,
        "weight_product": 1,
        "bias": 1,
        "norm": 2,
        "activation": 1,
        "pool": 1,
    },
    # Multiply-accumulates plus every other addition, subtraction, multiplication and division, one
    # per element (batch norm: two), and no comparison (ReLU, max pool). Of the sums we tried, the
    # plainest that gives the printed 2.298 / 2.299 / 2.300 G of DDF's Table 3(c). The paper names
    # no convention; others fit as well, and "mac" is 1.4 % below the printed figures.
    "arithmetic": {
        "convolution": 1,
        "linear": 1,
        "dynamic_filter": 1,
        "weight_product": 1,
        "norm": 2,
        "reduction": 1,
        "elementwise": 1,
    },
    # Section 4.1 of DDF: two operations per multiply-accumulate, three per tap of a dynamic filter
    # (combine, multiply, add).
    "ddf_section_4_1": {"convolution": 2, "linear": 2, "dynamic_filter": 3},
}


@dataclass(frozen=True)
class Cost:
    """What `count` found.

    Attributes:
        params: learnt values.
        operations: units by kind: multiply-accumulates for "convolution", "linear" and
            "dynamic_filter" (one per tap and output; combining two filters adds none), products for
            "weight_product" (of weights with factors), additions and multiplications for "fft",
            elements for the others.
        activation_bytes: what autograd keeps for the backward pass, parameters and buffers apart,
            every storage once.
        uncounted: operators that ran and have no rule here, if any.
    """

    params: int
    operations: Mapping[str, int]
    activation_bytes: int
    uncounted: tuple[str, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates, by the convention "mac"."""
        return round(self.total("mac"))

    def total(self, convention: str) -> float:
        """Operations summed by one of `CONVENTIONS`.

        Raises:
            UnknownNameError: no such convention.
        """
        weights = CONVENTIONS[require_known("counting convention", convention, CONVENTIONS)]
        return sum(weight * self.operations.get(kind, 0) for kind, weight in weights.items())


def count(model: nn.Module, *input_sizes: Sequence[int], dtype: torch.dtype | None = None) -> Cost:
    """Count one forward pass.

    The model may be on any device, the meta device included; it is neither changed nor run with its
    own values. It is counted in eval mode (batch norm with running statistics), which a batch of
    one allows.

    Args:
        input_sizes: shape of each tensor that `forward` takes, batch included.
        dtype: of the inputs; None for that of the parameters.
    Raises:
        ValueError: no input size was given.
    """
    if not input_sizes:
        raise ValueError("count needs the shape of at least one input, got none")
    tensors = {
        name: torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    if dtype is None:
        floating = (t.dtype for t in tensors.values() if t.is_floating_point())
        dtype = next(floating, torch.get_default_dtype())
    inputs = tuple(torch.empty(*size, dtype=dtype, device="meta") for size in input_sizes)
    operations = _OperationCounter()
    with (
        _in_eval_mode(model),
        torch.enable_grad(),
        _saved_for_backward(exclude=tensors.values()) as saved,
        operations,
    ):
        torch.func.functional_call(model, tensors, inputs)
    return Cost(
        params=sum(parameter.numel() for parameter in model.parameters()),
        operations=dict(sorted(operations.units.items())),
        activation_bytes=sum(storage.nbytes() for storage in saved.values()),
        uncounted=tuple(sorted(operations.uncounted)),
    )


# A rule gives the units of one call, by kind, from its arguments and its result.
Rule = Callable[[tuple[Any, ...], Any], Mapping[str, int]]
RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register how to count the named operators ("aten.mm", "repro.ddf"), all overloads."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register


@rule("aten.convolution")
def _convolution(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    x, weight, bias = arguments[:3]
    transposed = arguments[6]
    # One filter touches weight[0].numel() values: each of them once per output, or, transposed,
    # once per input.
    macs = (x if transposed else out).numel() * weight[0].numel()
    return {"convolution": macs, "bias": 0 if bias is None else out.numel()}


@rule("aten.addmm", "aten.baddbmm")
def _biased_product(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    return {"linear": out.numel() * arguments[1].shape[-1], "bias": out.numel()}


@rule("aten.mm", "aten.bmm")
def _product(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    return {"linear": out.numel() * arguments[0].shape[-1]}


@rule("repro.ddf", "repro.ddf_up")
def _ddf(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    taps = arguments[1].shape[-1] ** 2
    units = {"dynamic_filter": out.numel() * taps}
    if len(arguments) > 6 and arguments[6] is not None:  # the arithmetic of FilterNorm
        values = arguments[2].numel()
        units |= {"reduction": 2 * values, "elementwise": 3 * values + 6 * (values // taps)}
    return units


@rule("repro.fourier_disjoint_weight")
def _fourier_weight(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    return {"fft": _real_fft(out[0].numel(), len(out)), **_weight_products(arguments[7], out)}


@rule("repro.weight_from_basis")
def _basis_weight(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    products = _weight_products(arguments[6], out)
    mixing = out.numel() * (len(arguments[0]) - 1)  # one of them is among the products
    return {**products, "weight_product": products["weight_product"] + mixing}


def _weight_products(local_filter: Tensor, out: Tensor) -> dict[str, int]:
    # A product each for attention, channel, filter and tap together, and the local factor, which is
    # a 1-D convolution over channels.
    return {
        "weight_product": 4 * out.numel(),
        "convolution": out.numel() * local_filter.shape[1],
    }


@rule("aten._fft_r2c")
def _fft_of_real(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    return _ffts(arguments[0], arguments[1])


@rule("aten._fft_c2r")
def _fft_to_real(arguments: tuple[Any, ...], out: Tensor) -> Mapping[str, int]:
    return _ffts(out, arguments[1])


def _ffts(real: Tensor, axes: Sequence[int]) -> Mapping[str, int]:
    size = math.prod(real.shape[axis] for axis in axes)
    return {"fft": _real_fft(size, real.numel() // size if size else 0)}


def _real_fft(size: int, count: int) -> int:
    """Operations of transforms between `size` real values and their half spectrum."""
    return round(2.5 * size * math.log2(size)) * count if size > 1 else 0


def _elements_of_input(kind: str, *operators: str) -> None:
    for operator in operators:
        RULES[f"aten.{operator}"] = lambda arguments, out: {kind: arguments[0].numel()}


def _elements_of_output(kind: str, *operators: str) -> None:
    for operator in operators:
        RULES[f"aten.{operator}"] = lambda arguments, out: {kind: out.numel()}


_elements_of_input("norm", "native_batch_norm", "native_group_norm", "native_layer_norm")
_elements_of_input("activation", "relu", "sigmoid", "tanh", "silu", "gelu", "hardtanh", "_softmax")
_elements_of_input("activation", "abs", "_prelu_kernel")
_elements_of_input("pool", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d")
_elements_of_output("pool", "upsample_bilinear2d", "upsample_bicubic2d", "grid_sampler_2d")
_elements_of_input("reduction", "mean", "sum", "var", "std", "var_mean", "amax", "amin")
_elements_of_input("reduction", "cumsum", "prod")
_elements_of_output("elementwise", "add", "sub", "rsub", "mul", "div", "pow", "sqrt", "rsqrt")
_elements_of_output("elementwise", "exp", "log", "neg", "reciprocal", "clamp", "clamp_min")
_elements_of_output("elementwise", "sin", "cos", "logit")

# Operators that move or make values and compute none, or compare.
_FREE_NAMES = """
    view _unsafe_view reshape expand permute transpose t squeeze unsqueeze select slice split detach
    split_with_sizes alias clone copy _to_copy cat stack constant_pad_nd pixel_shuffle im2col
    replication_pad2d flip index unbind where scalar_tensor floor
    upsample_nearest2d
    empty empty_like new_empty zeros zeros_like new_zeros ones ones_like new_ones full full_like
    new_full fill zero arange view_as_real view_as_complex index_select index_copy
    roll masked_fill repeat repeat_interleave gather topk linspace
    eq ne le lt ge gt minimum bitwise_and bitwise_not any all
"""
FREE = frozenset(f"aten.{name}" for name in _FREE_NAMES.split())


class _OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the units of every operator that runs inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.units: Counter[str] = Counter()
        self.uncounted: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # The in-place form of an operator ends in "_" and costs what the other costs.
        name = f"{func.namespace}.{func.overloadpacket.__name__}"
        found = RULES.get(name) or RULES.get(name.rstrip("_"))
        if found is not None:
            self.units.update(found(args, out))
        elif name not in FREE and name.rstrip("_") not in FREE:
            self.uncounted.add(name)
        return out


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _saved_for_backward(exclude: Any) -> Iterator[dict[int, torch.UntypedStorage]]:
    """Every storage that autograd keeps while the block runs, by its address."""
    known = {tensor.untyped_storage()._cdata for tensor in exclude}
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved
