"""Run every CUDA kernel once on small inputs, or time what a call of DDF costs the host.

compute-sanitizer python scripts/run_small_cases.py
python scripts/run_small_cases.py --host-cost
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import product

import torch
from torch import Tensor

from repro.ops import ddf
from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
from repro.ops.frequency_groups import frequency_groups
from repro.ops.reference.fourier_disjoint_weight import Modulation
from repro_kernels import host
from repro_kernels.choice import FORMS

# N, C, H, W, K, stride, dilation, combination: several blocks, chunks of channels and rests.
CASES = [
    (2, 40, 12, 48, 3, 1, 1, "mul"),
    (1, 9, 9, 8, 5, 1, 1, "add"),
    (2, 5, 13, 11, 3, 1, 2, "mul"),
    (1, 3, 9, 7, 7, 1, 1, "add"),
    (1, 6, 11, 10, 3, 2, 1, "mul"),
]
# Weights (C_out, C_in of a convolution group, K_h, K_w) and groups: strips, pieces and rests.
FOURIER_CASES = [((9, 96, 3, 1), 1), ((6, 1, 3, 3), 6), ((64, 64, 3, 3), 1), ((36, 16, 1, 1), 2)]
KERNEL_NUM = 7

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def make(case: tuple[int, int, int, int, int, int, int, str], dtype: torch.dtype) -> list[Tensor]:
    """x, channel_filter, spatial_filter on the GPU."""
    batch, channels, height, width, kernel_size, stride, _, _ = case
    size_out = (-(-height // stride), -(-width // stride))
    shapes = [
        (batch, channels, height, width),
        (batch, channels, kernel_size, kernel_size),
        (batch, kernel_size**2, *size_out),
    ]
    return [torch.randn(shape, device="cuda", dtype=torch.float32).to(dtype) for shape in shapes]


def run_cases() -> None:
    """Forward and backward of every case, dtype and form that takes it."""
    for case in CASES:
        for dtype in DTYPES:
            args = make(case, dtype)
            norm_scales = (None, 0.5) if case[4] > 1 else (None,)
            for form, norm_scale in product(FORMS, norm_scales):
                options = (*case[5:], norm_scale, form)
                try:
                    out = host.ddf_forward(*args, *options)
                    host.ddf_backward(out, *args, *options)
                except ValueError as error:  # the form does not take the call
                    print(case, dtype, error)
                    continue
                torch.cuda.synchronize()
                print(case, dtype, form, "ran", flush=True)


def run_fourier_cases() -> None:
    """Fourier disjoint weights, forward and backward: per sample and from parallel weights."""
    for weight_shape, groups in FOURIER_CASES:
        C_out, C_in, K_h, K_w = weight_shape
        group_map = frequency_groups(C_out * K_h, C_in * K_w, KERNEL_NUM).cuda()
        shapes = [
            (1, *group_map.shape, 2),  # spectrum
            (KERNEL_NUM, C_out, K_h, K_w, C_in),  # basis
            (3, KERNEL_NUM),  # attention, then the factors
            (3, groups * C_in),
            (3, C_out),
            (3, K_h * K_w),
            (3, groups * C_in),
            (C_out * K_h * K_w, 5),
        ]
        for dtype in DTYPES:
            tensors = [torch.randn(shape, device="cuda").to(dtype) for shape in shapes]
            spectrum, basis, attention, *factors = (t.requires_grad_() for t in tensors)
            options = {"groups": groups, "backend": "cuda"}
            modulation = Modulation(*factors)
            per_sample = fourier_disjoint_weight(
                spectrum, group_map, attention[:, None], weight_shape, modulation, **options
            )
            per_sample.sum().backward()
            weight_from_basis(basis, attention, modulation, **options).sum().backward()
            torch.cuda.synchronize()
            print(weight_shape, groups, dtype, "ran", flush=True)


def time_host(calls: int = 2000) -> None:
    """Microseconds of the host per call, on an input that the GPU finishes sooner."""
    args = make((1, 4, 8, 8, 3, 1, 1, "mul"), torch.float32)
    with_grad = [arg.clone().requires_grad_() for arg in args]
    grad_out = torch.randn_like(args[0])

    def both() -> object:
        return torch.autograd.grad(ddf(*with_grad), with_grad, grad_out)

    for name, call in (
        ("forward", lambda: ddf(*args)),
        ("forward and backward", both),
        ("forward, kernels alone", lambda: host.ddf_forward(*args, 1, 1, "mul")),
    ):
        for _ in range(100):
            call()
        torch.cuda.synchronize()
        rounds = []
        for _ in range(10):
            start = time.perf_counter()
            for _ in range(calls // 10):
                call()
            rounds.append((time.perf_counter() - start) / (calls // 10) * 1e6)
            torch.cuda.synchronize()
        print(f"{name}: {sorted(rounds)[len(rounds) // 2]:.1f} us")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host-cost", action="store_true")
    if parser.parse_args().host_cost:
        time_host()
    else:
        run_cases()
        run_fourier_cases()
    return 0


if __name__ == "__main__":
    sys.exit(main())
