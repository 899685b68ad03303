"""Every CUDA kernel becomes machine code without a GPU, and keeps to its registers.

The limits are what was measured when the kernel was written, rounded up to the next multiple of
eight (the unit in which a GPU gives registers): more registers mean fewer threads at a time, and
spills or a stack mean that a loop no longer unrolls.
"""

from __future__ import annotations

import pytest

from repro_kernels import compile as compiler
from repro_kernels.compile import Resources, Variant, compile_variant, ptx
from repro_kernels.ddf import KERNELS
from repro_kernels.storage import STORAGES

VARIANTS = [
    *(
        Variant(kernel, kernel_size, kernel_combine, "float32")
        for kernel in KERNELS
        for kernel_size in (3, 7)
        for kernel_combine in ("mul", "add")
    ),
    *(
        Variant(kernel, 3, "mul", dtype)
        for kernel in KERNELS
        for dtype in STORAGES
        if dtype != "float32"
    ),
    *(Variant(kernel, 5, "mul", "float32") for kernel in KERNELS),
]
REGISTERS = {3: 80, 5: 96, 7: 160}
SHARED_BYTES = {"backward_channel": 128 * 8}


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=["sm_80", "sm_90"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(map(str, v)))
def test_compiles_without_spills_or_local_memory(variant, capability):
    cubin, entry, resources = compile_variant(variant, capability)
    assert cubin[:4] == b"\x7fELF"
    assert f"ddf_{variant.kernel}_kernel" in entry
    assert resources.spilled_bytes == 0
    assert resources.stack_bytes == 0
    assert 0 < resources.registers <= REGISTERS[variant.kernel_size]
    assert resources.shared_bytes <= SHARED_BYTES.get(variant.kernel, 0)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_is_computed_in_double_precision(kernel, dtype):
    assert ".f64" not in ptx(Variant(kernel, 3, "mul", dtype), (9, 0))


def test_large_kernels_compile_though_not_for_speed():
    _, _, resources = compile_variant(Variant("forward", 11, "mul", "float32"), (9, 0))
    assert resources.registers > 0


def test_resources_are_read_from_what_the_assembler_says():
    text = (
        "ptxas . 16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem"
    )
    assert compiler.read_resources(text) == Resources(40, 16, 20, 512)


def test_cubins_are_kept_and_a_damaged_one_is_replaced(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("REPRO_KERNEL_CACHE", str(tmp_path / "kernels"))
    variant = Variant("backward_spatial", 1, "mul", "float32")
    first = compiler.cached_cubin(variant, (9, 0))
    (path,) = (tmp_path / "kernels").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "compile_variant", None)  # not called
        assert compiler.cached_cubin(variant, (9, 0)) == first
    path.write_bytes(path.read_bytes()[:-1])
    second = compiler.cached_cubin(variant, (9, 0))
    assert "is damaged and is written again" in caplog.text
    assert path.read_bytes().endswith(second[0])
    assert len(list(path.parent.iterdir())) == 1


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way of a folder")
    monkeypatch.setenv("REPRO_KERNEL_CACHE", str(tmp_path / "file" / "kernels"))
    cubin, _ = compiler.cached_cubin(Variant("backward_spatial", 1, "mul", "float32"), (9, 0))
    assert cubin[:4] == b"\x7fELF"
    assert "kernels are compiled in every process" in caplog.text
