"""Kernels of either operator become cubins without a GPU, and are kept from process to process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from repro_kernels import compile as compiler
from repro_kernels import ddf
from repro_kernels import fourier_disjoint_weight as fourier
from repro_kernels.compile import Resources, compile_variant

SMALL = ddf.Variant("backward_spatial", "general", 1, "mul", "float32")
EACH = [SMALL, fourier.Variant("unmix_spectrum", "float32", ())]


@pytest.mark.parametrize(
    ("variant", "name"),
    [(EACH[0], "ddf_general_backward_spatial_kernel"), (EACH[1], "unmix_spectrum_kernel")],
)
def test_the_cubin_names_its_kernel(variant, name):
    cubin, entry, _ = compile_variant(variant, (9, 0))
    assert cubin[:4] == b"\x7fELF"
    assert name in entry


def test_large_kernels_compile_though_not_for_speed():
    large = ddf.Variant("forward", "general", 11, "mul", "float32")
    _, _, resources = compile_variant(large, (9, 0))
    assert resources.registers > 0


def test_resources_are_read_from_what_the_assembler_says():
    text = (
        "ptxas . 16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem"
    )
    assert compiler.read_resources(text) == Resources(40, 16, 20, 512)


@pytest.mark.parametrize("variant", EACH, ids=lambda variant: variant.kernel)
def test_cubins_are_kept_and_a_damaged_one_is_replaced(variant, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("REPRO_KERNEL_CACHE", str(tmp_path / "kernels"))
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
    cubin, _ = compiler.cached_cubin(SMALL, (9, 0))
    assert cubin[:4] == b"\x7fELF"
    compiler.cached_cubin(SMALL, (9, 0))
    assert caplog.text.count("kernels are compiled in every process") == 1


def test_a_cache_that_may_not_be_written_to_is_still_read(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_KERNEL_CACHE", str(tmp_path))
    first = compiler.cached_cubin(SMALL, (9, 0))
    tmp_path.chmod(0o500)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(compiler, "compile_variant", None)  # not called
            assert compiler.cached_cubin(SMALL, (9, 0)) == first
    finally:
        tmp_path.chmod(0o700)


def test_two_processes_may_compile_the_same_kernel_at_once(tmp_path):
    code = (
        "from repro_kernels.compile import cached_cubin;"
        "from repro_kernels.ddf import Variant;"
        "variant = Variant('backward_spatial', 'general', 1, 'mul', 'float32');"
        "print(len(cached_cubin(variant, (9, 0))[0]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={"REPRO_KERNEL_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    sizes = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(sizes) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".cubin"]
