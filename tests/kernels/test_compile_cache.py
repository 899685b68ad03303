"""Cubins are kept from process to process; a cache that fails costs time and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile

import pytest

from repro_kernels import compile as compiler
from repro_kernels import ddf
from repro_kernels import fourier_disjoint_weight as fourier

EACH = [
    ddf.Variant("forward", "vector", 3, "mul", "float32"),
    fourier.Variant("unmix_spectrum", "float32", ()),
]
CUBIN = (b"\x7fELF" + bytes(100), "some_kernel")


@pytest.fixture
def compiled(monkeypatch):
    """The variants that were compiled, each to the same stand-in."""
    variants = []

    def compile_variant(variant, capability):
        variants.append(variant)
        return *CUBIN, None

    monkeypatch.setattr(compiler, "compile_variant", compile_variant)
    compiler._warn_of_folder.cache_clear()
    return variants


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    monkeypatch.setenv("REPRO_KERNEL_CACHE", str(folder))
    return folder


def test_every_variant_and_architecture_is_compiled_once(cache, compiled):
    for _ in range(2):
        for variant in EACH:
            assert compiler.cached_cubin(variant, (9, 0)) == CUBIN
        assert compiler.cached_cubin(EACH[0], (8, 0)) == CUBIN
    assert compiled == [*EACH, EACH[0]]
    assert len(list(cache.iterdir())) == 3


def test_variants_of_two_operators_are_never_the_same(cache, compiled):
    one = EACH[1]
    other = type("Variant", (fourier.Variant,), {"__module__": "another_operator"})(*one)
    assert one == other
    for variant in (one, other):
        compiler.cached_cubin(variant, (9, 0))
    assert len(compiled) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-1] + b"\x01",  # in the machine code
        lambda content: content.replace(b"some", b"same"),  # in the kernel's name
        lambda content: b"",
        lambda content: b"\xff\xfe\n" + content,
    ],
    ids=["cut", "code", "name", "empty", "no text"],
)
def test_a_damaged_file_is_written_again(damage, cache, compiled, caplog):
    compiler.cached_cubin(EACH[0], (9, 0))
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert compiler.cached_cubin(EACH[0], (9, 0)) == CUBIN
    assert "is damaged and is written again" in caplog.text
    assert path.read_bytes() == whole
    assert list(cache.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_said_once(cache, compiled, caplog):
    cache.write_text("in the way of a folder")
    for variant in EACH:
        assert compiler.cached_cubin(variant, (9, 0)) == CUBIN
    assert caplog.text.count("kernels are compiled in every process") == 1


def test_a_folder_that_is_read_only_is_said_once_and_still_read(
    cache, compiled, caplog, monkeypatch
):
    compiler.cached_cubin(EACH[0], (9, 0))

    def refuse(dir, prefix):  # as a file system does, which names the file
        name = f"{dir}/{prefix}{len(compiled)}"
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    for capability in ((9, 0), (8, 0), (10, 0)):
        assert compiler.cached_cubin(EACH[0], capability) == CUBIN
    assert len(compiled) == 3  # (9, 0) was read
    assert caplog.text.count("Read-only file system") == 1


def test_a_write_that_fails_leaves_nothing_behind(cache, compiled, caplog):
    compiler.cached_cubin(EACH[0], (9, 0))
    (path,) = cache.iterdir()
    path.unlink()
    path.mkdir()
    assert compiler.cached_cubin(EACH[0], (9, 0)) == CUBIN
    assert list(cache.iterdir()) == [path]
    assert "cannot write" in caplog.text


def run_processes(code, count, cache):
    """What `count` processes print that run the same code at once."""
    environment = os.environ | {
        "REPRO_KERNEL_CACHE": str(cache),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
    printed = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * count, printed
    return [out for out, _ in printed]


def test_two_processes_may_compile_the_same_kernel_at_once(cache):
    code = """
from repro_kernels.compile import cached_cubin
from repro_kernels.ddf import Variant
cubin, entry = cached_cubin(Variant("backward_spatial", "general", 1, "mul", "float32"), (9, 0))
print(entry, len(cubin))
"""
    first, second = run_processes(code, 2, cache)
    assert first == second
    assert [path.suffix for path in cache.iterdir()] == [".cubin"]


def test_processes_that_write_and_remove_a_cubin_never_see_a_part_of_it(cache):
    code = """
import logging
from repro_kernels import compile as compiler
from repro_kernels.ddf import Variant
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=__import__("sys").stdout)
variant = Variant("forward", "vector", 3, "mul", "float32")
cubin = bytes(1 << 22)
compiler.compile_variant = lambda variant, capability: (cubin, "kernel", None)
for _ in range(50):
    assert compiler.cached_cubin(variant, (9, 0)) == (cubin, "kernel")
    for path in compiler.cache_dir().glob("*.cubin"):
        path.unlink(missing_ok=True)
"""
    assert run_processes(code, 3, cache) == [""] * 3
    assert not list(cache.glob(".part-*"))
