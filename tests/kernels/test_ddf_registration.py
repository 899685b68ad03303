"""DDF as an op of PyTorch: opcheck, torch.compile, compiled once for all processes."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch
from cases import DDFCase

from repro.ops import ddf

CASE = DDFCase((2, 3, 7, 5), stride=2)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_opcheck_of_the_forward_op(backend):
    args = [arg.requires_grad_() for arg in CASE.make(torch.float64, backend)]
    torch.library.opcheck(torch.ops.repro.ddf.default, (*args, 2, 1, "mul"))


def test_opcheck_of_the_backward_op(backend):
    args = CASE.make(torch.float64, backend)
    grad_out = torch.randn(2, 3, 4, 3, dtype=torch.float64, device=backend)
    torch.library.opcheck(torch.ops.repro.ddf_backward.default, (grad_out, *args, 2, 1, "mul"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own warnings differ from version to version
def test_torch_compile_makes_one_graph(backend):
    def loss(*args):
        return ddf(*args, stride=2).sin().sum()

    args = [arg.requires_grad_() for arg in CASE.make(torch.float64, backend)]
    compiled = torch.compile(loss, fullgraph=True)(*args)
    expected = loss(*args)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(
        torch.autograd.grad(compiled, args), torch.autograd.grad(expected, args)
    )


def test_calls_from_several_threads_do_not_disturb_each_other():
    args = DDFCase((8, 16, 16, 16)).make(torch.float32)
    expected = ddf(*args)
    results = []
    threads = [threading.Thread(target=lambda: results.append(ddf(*args))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(torch.equal(result, expected) for result in results)


def _child(args, queue):
    torch.set_num_threads(2)
    queue.put(ddf(*args).sum().item())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_computes_too():
    args = DDFCase((8, 16, 16, 16)).make(torch.float32)
    expected = ddf(*args).sum().item()  # starts this process's threads
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(args, queue))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == pytest.approx(expected)
