"""CUDA kernels become machine code without a GPU, and cost what the committed tables say.

More registers mean fewer threads at a time; spills or a stack mean that a loop no longer unrolls;
a longer inner loop is a slower kernel. `python -m repro_kernels.resources` writes the tables, for
every variant; here a part of them is made again, and all of them are held against the limits.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repro_kernels import ddf, resources, sass
from repro_kernels import fourier_disjoint_weight as fourier
from repro_kernels.compile import ptx
from repro_kernels.resources import DDF, FOURIER

README = Path(resources.__file__).parents[1] / "README.md"
TABLES = {"ddf": DDF, "fourier_disjoint_weight": FOURIER}

# What fits how many blocks of 128 threads on a multiprocessor: 80 six, 96 five, 128 four, 168
# three, 255 two.
DDF_REGISTERS = {
    ("forward", "vector"): {1: 80, 3: 80, 5: 168},
    ("backward_x_channel", "vector"): {1: 80, 3: 128, 5: 255},
    ("backward_spatial", "vector"): {1: 80, 3: 96, 5: 255},
    ("forward", "row"): {1: 96, 3: 128, 5: 168, 7: 255},
    ("backward_x", "row"): {1: 96, 3: 128, 5: 168, 7: 255},
    ("backward_channel", "row"): {1: 80, 3: 128, 5: 168, 7: 255},
    ("backward_spatial", "row"): {1: 80, 3: 80, 5: 128, 7: 168},
    ("backward_channel_sum", "row"): {3: 80},
    ("standardise", "general"): {3: 40, 7: 64},
    ("standardise_backward", "general"): {3: 40, 7: 64},
    **{(kernel, "up"): {3: 168} for kernel in resources.ALL},
    **{(kernel, "general"): {3: 80, 7: 255} for kernel in resources.ALL},
}
# What was measured when the kernels were written, up to the next multiple of eight, in which a GPU
# gives registers.
FOURIER_REGISTERS = {
    "mix_columns": 56,
    "rows_to_weight": 56,
    "rows_to_spectra": 56,
    "transform_columns": 48,
    "basis_to_weight": 80,
    "modulate_backward": 120,
    "unmix_spectrum": 32,
    "unmix_attention": 40,
    "combine": 72,
    "multiply": 112,
}
FOURIER_REGISTERS_FLOAT64 = {"modulate_backward": 96, "multiply": 120}

# A part of the tables that takes a minute or two, and instructions that the machine code must have:
# every fast kernel of DDF, each K and dtype once; every kernel of Fourier weights.
COMPILED = {
    ddf.Variant("forward", "vector", 3, "mul", "float32"): {"LDG.E.128", "STG.E.128", "LDS.128"},
    ddf.Variant("forward", "vector", 5, "add", "float32"): {"LDG.E.128", "STG.E.128", "LDS.128"},
    ddf.Variant("forward", "vector", 3, "mul", "bfloat16"): {"LDG.E.64", "STG.E.64", "LDS.128"},
    ddf.Variant("forward", "vector", 3, "mul", "float32", norm_scale=0.5): {
        "LDG.E.128",
        "STG.E.128",
        "LDS.128",
    },
    ddf.Variant("backward_x_channel", "vector", 3, "mul", "float32"): {"LDG.E.128", "STG.E.128"},
    ddf.Variant("backward_spatial", "vector", 3, "mul", "float16"): {"LDG.E.64", "STG.E.64"},
    ddf.Variant("forward", "row", 3, "mul", "float32"): set(),
    ddf.Variant("backward_channel", "row", 5, "mul", "float64"): set(),
    ddf.Variant("backward_spatial", "row", 5, "add", "float32"): set(),
    ddf.Variant("forward", "up", 3, "mul", "float32", scale_factor=2): set(),
    ddf.Variant("backward_x", "general", 3, "mul", "float32"): set(),
    ddf.Variant("standardise", "general", 3, "mul", "float32", norm_scale=0.5): set(),
    ddf.Variant("standardise_backward", "general", 3, "mul", "float32", norm_scale=0.5): set(),
    fourier.Variant("mix_columns", "float32", (64, 1)): {"LDG.E.64", "STG.E.64"},
    fourier.Variant("rows_to_weight", "float32", (1, 1, 64, 4, 5, 1)): {"LDG.E.64", "STG.E.128"},
    fourier.Variant("basis_to_weight", "float32", (9, 4, 5)): {"LDG.E.128", "STG.E.128", "LDS.128"},
    fourier.Variant("modulate_backward", "float32", (9, 5)): {"SHFL.BFLY"},
    fourier.Variant("rows_to_spectra", "float32", (1, 1, 64)): {"STG.E.64"},
    fourier.Variant("transform_columns", "float32", (64,)): {"LDG.E.64", "STG.E.64"},
    fourier.Variant("combine", "float32", (4,)): {"LDG.E.128", "STG.E.128", "LDS.128"},
    fourier.Variant("multiply", "float32", (4,)): {"LDG.E.128", "SHFL.BFLY"},
    fourier.Variant("unmix_spectrum", "float32", ()): {"LDG.E.64", "STG.E.64"},
    fourier.Variant("unmix_attention", "float32", ()): {"LDG.E.64", "SHFL.BFLY"},
}
DOUBLES = re.compile(r"\b(DADD|DMUL|DFMA|F2F\.F(32\.F)?64)\b")
LOCAL_MEMORY = re.compile(r"\b(LDL|STL)\b")


@pytest.fixture(scope="module")
def nvdisasm():
    found = sass.find_nvdisasm()
    if found is None:
        pytest.skip("nvdisasm is neither on the PATH nor in Triton's package")
    return found


def most_registers(row):
    """The limit of a row of either table."""
    if "form" in row:
        return DDF_REGISTERS[row["kernel"], row["form"]][int(row["kernel_size"])]
    if row["dtype"] == "float64":
        return FOURIER_REGISTERS_FLOAT64.get(row["kernel"], 80)
    return FOURIER_REGISTERS[row["kernel"]]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_table_has_every_variant_on_every_architecture(table):
    capabilities = resources.CAPABILITIES
    expected = {table.key(variant, one) for variant in table.variants() for one in capabilities}
    assert {table.key_of(row) for row in table.read()} == expected


def test_the_tables_have_every_kernel():
    assert {(row["kernel"], row["form"]) for row in DDF.read()} == set(ddf.KERNELS)
    assert {row["kernel"] for row in FOURIER.read()} == set(fourier.KERNELS)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_kernel_spills_or_exceeds_its_registers_or_shared_memory(table):
    for row in table.read():
        assert (row["stack_bytes"], row["spilled_bytes"]) == ("0", "0"), row
        assert int(row["registers"]) <= most_registers(row), row
        assert int(row["shared_bytes"]) <= 48 << 10, row


def test_the_readme_shows_the_table():
    assert resources.markdown() in README.read_text(encoding="utf-8")


def test_vector_kernels_load_whole_vectors():
    for row in DDF.read():
        # The K rows of the inner loop, and the features or gradients beside them. With K = 1 the
        # sums over a warp have the larger share of arithmetic.
        if row["form"] == "vector" and row["kernel_size"] != "1":
            assert int(row["loop_vector_loads"]) >= int(row["kernel_size"]), row


def test_the_inner_loop_of_the_forward_kernel_keeps_its_length():
    variant = ddf.Variant("forward", "vector", 3, "mul", "float32")
    (row,) = (row for row in DDF.read() if DDF.key_of(row) == DDF.key(variant, (9, 0)))
    assert int(row["loop_arithmetic"]) == 72  # for 4 outputs of 9 taps: no more than they need
    assert int(row["loop_instructions"]) <= 150


@pytest.mark.parametrize("capability", resources.CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)
@pytest.mark.parametrize("variant", COMPILED, ids=lambda variant: "-".join(map(str, variant)))
def test_kernels_cost_what_the_table_says(variant, capability, nvdisasm):
    table = DDF if isinstance(variant, ddf.Variant) else FOURIER
    key = table.key(variant, capability)
    (recorded,) = (row for row in table.read() if table.key_of(row) == key)
    measured, code = table.measure(variant, capability, nvdisasm)
    exact = ("stack_bytes", "spilled_bytes", "shared_bytes", "loop_vector_loads")
    assert {name: measured[name] for name in exact} == {name: recorded[name] for name in exact}
    assert int(measured["registers"]) <= most_registers(measured)
    for name in ("loop_instructions", "loop_arithmetic"):
        assert int(measured[name]) == pytest.approx(int(recorded[name]), rel=0.1), name
    assert [name for name in COMPILED[variant] if f" {name}" not in code] == []
    assert LOCAL_MEMORY.search(code) is None
    assert (DOUBLES.search(code) is not None) == (variant.dtype == "float64")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("form", ["vector", "row", "general"])
def test_nothing_is_computed_in_double_precision(form, dtype):
    kernels = [kernel for kernel, its_form in ddf.KERNELS if its_form == form]
    for kernel in kernels if dtype == "float32" else kernels[:1]:
        assert ".f64" not in ptx(ddf.Variant(kernel, form, 3, "mul", dtype), (9, 0))


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


def test_only_what_is_named_is_measured_anew(tmp_path, monkeypatch):
    table = FOURIER._replace(path=tmp_path / "table.csv")
    table.path.write_bytes(FOURIER.path.read_bytes())
    measured = []

    def measure(self, variant, capability, nvdisasm):
        measured.append(variant.kernel)
        (row,) = (row for row in self.read() if self.key_of(row) == self.key(variant, capability))
        return row, ""

    monkeypatch.setattr(resources.Table, "measure", measure)
    resources.update(table, {"multiply"}, Path())
    assert set(measured) == {"multiply"}
    assert table.path.read_bytes() == FOURIER.path.read_bytes()
