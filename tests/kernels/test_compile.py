"""CUDA kernels become machine code without a GPU, and cost what the committed table says.

More registers mean fewer threads at a time; spills or a stack mean that a loop no longer unrolls;
a longer inner loop is a slower kernel. `python -m repro_kernels.resources` writes the table, for
every variant; here a part of it is made again, and all of it is held against the limits.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repro_kernels import compile as compiler
from repro_kernels import resources, sass
from repro_kernels.compile import Resources, Variant, compile_variant, ptx
from repro_kernels.ddf import KERNELS

# A part of the table that takes under a minute: every fast kernel, each K and dtype once.
COMPILED = [
    Variant("forward", "vector", 3, "mul", "float32"),
    Variant("forward", "vector", 5, "add", "float32"),
    Variant("forward", "vector", 3, "mul", "bfloat16"),
    Variant("backward_x_channel", "vector", 3, "mul", "float32"),
    Variant("backward_spatial", "vector", 3, "mul", "float16"),
    Variant("forward", "row", 3, "mul", "float32"),
    Variant("backward_channel", "row", 5, "mul", "float64"),
    Variant("backward_spatial", "row", 5, "add", "float32"),
    Variant("forward", "up", 3, "mul", "float32", scale_factor=2),
    Variant("backward_x", "general", 3, "mul", "float32"),
]
README = Path(resources.__file__).parents[1] / "README.md"
SMALL = Variant("backward_spatial", "general", 1, "mul", "float32")

# What fits how many blocks of 128 threads on a multiprocessor: 80 six, 96 five, 128 four, 168
# three, 255 two.
REGISTERS = {
    ("forward", "vector"): {1: 80, 3: 80, 5: 168},
    ("backward_x_channel", "vector"): {1: 80, 3: 128, 5: 255},
    ("backward_spatial", "vector"): {1: 80, 3: 96, 5: 255},
    ("forward", "row"): {1: 96, 3: 128, 5: 168, 7: 255},
    ("backward_x", "row"): {1: 96, 3: 128, 5: 168, 7: 255},
    ("backward_channel", "row"): {1: 80, 3: 128, 5: 168, 7: 255},
    ("backward_spatial", "row"): {1: 80, 3: 80, 5: 128, 7: 168},
    ("backward_channel_sum", "row"): {3: 80},
    **{(kernel, "up"): {3: 168} for kernel in resources.ALL},
    **{(kernel, "general"): {3: 80, 7: 255} for kernel in resources.ALL},
}


@pytest.fixture(scope="module")
def nvdisasm():
    found = sass.find_nvdisasm()
    if found is None:
        pytest.skip("nvdisasm is neither on the PATH nor in Triton's package")
    return found


def test_the_table_has_every_variant_on_every_architecture():
    expected = {
        (*map(str, variant), f"{major}.{minor}")
        for variant in resources.variants()
        for major, minor in resources.CAPABILITIES
    }
    names = (*Variant._fields, "capability")
    assert {tuple(row[name] for name in names) for row in resources.read()} == expected
    assert {(row["kernel"], row["form"]) for row in resources.read()} == set(KERNELS)


def test_no_kernel_spills_or_exceeds_its_registers_or_shared_memory():
    for row in resources.read():
        assert (row["stack_bytes"], row["spilled_bytes"]) == ("0", "0"), row
        limit = REGISTERS[row["kernel"], row["form"]][int(row["kernel_size"])]
        assert int(row["registers"]) <= limit, row
        assert int(row["shared_bytes"]) <= 48 << 10, row


def test_the_readme_shows_the_table():
    assert resources.table() in README.read_text(encoding="utf-8")


def test_vector_kernels_load_whole_vectors():
    for row in resources.read():
        # The K rows of the inner loop, and the features or gradients beside them. With K = 1 the
        # sums over a warp have the larger share of arithmetic.
        if row["form"] == "vector" and row["kernel_size"] != "1":
            assert int(row["loop_vector_loads"]) >= int(row["kernel_size"]), row


def test_the_inner_loop_of_the_forward_kernel_keeps_its_length():
    (row,) = (
        row
        for row in resources.read()
        if row["capability"] == "9.0"
        and tuple(row.values())[:5] == ("forward", "vector", "3", "mul", "float32")
    )
    assert int(row["loop_arithmetic"]) == 72  # for 4 outputs of 9 taps: no more than they need
    assert int(row["loop_instructions"]) <= 150


@pytest.mark.parametrize("capability", resources.CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
@pytest.mark.parametrize("variant", COMPILED, ids=lambda v: "-".join(map(str, v)))
def test_kernels_cost_what_the_table_says(variant, capability, nvdisasm):
    key = (*map(str, variant), f"{capability[0]}.{capability[1]}")
    names = (*Variant._fields, "capability")
    (recorded,) = (row for row in resources.read() if tuple(row[name] for name in names) == key)
    measured = resources.measure(variant, capability, nvdisasm)
    exact = ("stack_bytes", "spilled_bytes", "shared_bytes", "loop_vector_loads")
    assert {name: measured[name] for name in exact} == {name: recorded[name] for name in exact}
    limit = REGISTERS[variant.kernel, variant.form][variant.kernel_size]
    assert int(measured["registers"]) <= limit
    for name in ("loop_instructions", "loop_arithmetic"):
        assert int(measured[name]) == pytest.approx(int(recorded[name]), rel=0.1), name


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("form", ["vector", "row", "general"])
def test_nothing_is_computed_in_double_precision(form, dtype):
    kernels = [kernel for kernel, its_form in KERNELS if its_form == form]
    for kernel in kernels if dtype == "float32" else kernels[:1]:
        assert ".f64" not in ptx(Variant(kernel, form, 3, "mul", dtype), (9, 0))


def test_the_cubin_names_its_kernel():
    cubin, entry, _ = compile_variant(Variant("forward", "general", 1, "mul", "float32"), (9, 0))
    assert cubin[:4] == b"\x7fELF"
    assert "ddf_general_forward_kernel" in entry


@pytest.mark.parametrize("branch", ["@P1 BRA `(.L_x_1)", "    BRA.U UP0, `(.L_x_1)"])
def test_inner_loops_are_found_in_machine_code(branch):
    code = f"""
.text.kernel:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, [R2.64] ;
        /*0020*/                   FFMA R8, R4, R5, R8 ;
        /*0030*/                   FMUL R9, R4, R5 ;
        /*0040*/               {branch} ;
        /*0050*/                   BRA `(.L_x_2) ;
.L_x_2:
        /*0060*/                   EXIT ;
"""
    assert sass.inner_loop(code) == sass.InnerLoop(4, 2, 1)


def test_large_kernels_compile_though_not_for_speed():
    _, _, resources = compile_variant(Variant("forward", "general", 11, "mul", "float32"), (9, 0))
    assert resources.registers > 0


def test_resources_are_read_from_what_the_assembler_says():
    text = (
        "ptxas . 16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem"
    )
    assert compiler.read_resources(text) == Resources(40, 16, 20, 512)


def test_cubins_are_kept_and_a_damaged_one_is_replaced(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("REPRO_KERNEL_CACHE", str(tmp_path / "kernels"))
    first = compiler.cached_cubin(SMALL, (9, 0))
    (path,) = (tmp_path / "kernels").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "compile_variant", None)  # not called
        assert compiler.cached_cubin(SMALL, (9, 0)) == first
    path.write_bytes(path.read_bytes()[:-1])
    second = compiler.cached_cubin(SMALL, (9, 0))
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
        "from repro_kernels.compile import Variant, cached_cubin;"
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
