"""What of launching can be checked without a GPU, and what a GPU has to show."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
import torch
from cases import DDFCase

from repro_kernels import host, launch
from repro_kernels.choice import Call
from repro_kernels.compile import MissingToolchainError
from repro_kernels.ddf import Variant
from repro_kernels.plan import plan_forward

VARIANT = Variant("forward", "general", 3, "mul", "float32")
CALL = Call((2, 8, 16, 16), 3, "mul", "float32", 1, 1, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "x must be on one CUDA device, got cpu"),
        ({"device": "meta"}, "x must be on one CUDA device, got meta"),
    ],
)
def test_tensors_must_be_on_a_cuda_device(change, message):
    x = torch.ones(1, **change)
    with pytest.raises(ValueError, match=message):
        launch.check_tensors(["x"], [x], x)


def test_a_grid_that_no_gpu_takes_is_refused():
    (step,) = plan_forward(CALL).steps
    with pytest.raises(ValueError, match=f"needs {2**31} blocks, a grid has at most {2**31 - 1}"):
        launch.prepare(step._replace(blocks=2**31), host.FORWARD_TENSORS, torch.device("cuda", 0))


@pytest.fixture
def no_loaded_kernels():
    caches = (launch._cuda_core, launch._load)  # as they are before a test replaces them
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("no_loaded_kernels")
def test_without_cuda_core_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    monkeypatch.delattr("cuda.core", raising=False)
    with pytest.raises(MissingToolchainError, match="comes with numba-cuda"):
        launch._cuda_core()


def test_without_a_driver_the_message_says_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has a driver")
    (step,) = plan_forward(CALL).steps
    with pytest.raises(MissingToolchainError, match=r"cannot launch kernels: .*(driver|CUDA)"):
        launch.prepare(step, host.FORWARD_TENSORS, torch.device("cuda", 0))


@pytest.mark.usefixtures("no_loaded_kernels")
def test_a_kernel_that_is_not_loaded_cannot_be_captured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="run the same call once before the capture"):
        launch._load(VARIANT, (9, 0))


@pytest.mark.usefixtures("no_loaded_kernels")
def test_kernels_of_two_operators_are_loaded_apart(monkeypatch):
    loaded = []

    class Code:
        @staticmethod
        def from_cubin(cubin):
            loaded.append(cubin)
            return Code

        @staticmethod
        def get_kernel(entry):
            return entry

    monkeypatch.setattr(launch, "_cuda_core", lambda: type("Core", (), {"ObjectCode": Code}))
    monkeypatch.setattr(launch, "cached_cubin", lambda variant, _: (type(variant), "kernel"))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    another = type("Variant", (Variant,), {})
    for variant in (VARIANT, another(*VARIANT), VARIANT):
        launch._load(variant, (9, 0))
    assert loaded == [Variant, another]


def test_launches_name_the_tensors_and_carry_the_sizes(monkeypatch):
    """With a stand-in for the driver: what would be handed to it."""
    started = []

    class Core:
        Stream = type("Stream", (), {"from_handle": staticmethod(lambda handle: handle)})

        @staticmethod
        def LaunchConfig(grid, block):
            return grid, block

        @staticmethod
        def launch(stream, config, kernel, *arguments):
            started.append((stream, config, kernel, arguments))

    monkeypatch.setattr(launch, "_cuda_core", lambda: Core)
    monkeypatch.setattr(launch, "_load", lambda variant, capability: variant.kernel)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    stream = type("Stream", (), {"cuda_stream": 7})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    (step,) = plan_forward(CALL).steps
    device = torch.device("cuda", 0)
    launch._config.cache_clear()
    launch._stream.cache_clear()
    try:
        ready = launch.prepare(step, host.FORWARD_TENSORS, device)
        tensors = DDFCase((2, 8, 16, 16)).make(torch.float32)
        tensors.append(torch.empty_like(tensors[0]))
        launch.launch([ready], [tensor.data_ptr() for tensor in tensors], device)
    finally:
        launch._config.cache_clear()
        launch._stream.cache_clear()
    ((on, config, kernel, arguments),) = started
    assert (on, config, kernel) == (7, (step.blocks, step.threads), "forward")
    assert list(arguments[:4]) == [tensor.data_ptr() for tensor in tensors]
    assert tuple(arguments[4:]) == step.sizes
    assert all(size.dtype == "int32" for size in arguments[4:])


@pytest.fixture
def planned(monkeypatch):
    """Variants that calls on tensors of a CPU would launch if they were on a GPU."""
    variants = []

    def check_tensors(names, tensors, like):
        assert all(tensor.is_contiguous() for tensor in tensors)
        return like.device

    monkeypatch.setattr(host, "check_tensors", check_tensors)
    monkeypatch.setattr(host, "prepare", lambda step, *_: variants.append(step.variant))
    monkeypatch.setattr(host, "launch", lambda *_: None)
    host._prepared.cache_clear()
    yield variants
    host._prepared.cache_clear()


@pytest.mark.parametrize("which", range(3), ids=["x", "channel_filter", "spatial_filter"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("offset", "form"), [(1, "row"), (2, "row"), (4, "vector")])
def test_a_tensor_that_is_not_aligned_takes_the_row_form(which, dtype, offset, form, planned):
    args = DDFCase((2, 8, 16, 16)).make(dtype)
    memory = torch.empty(args[which].numel() + offset, dtype=dtype)
    args[which] = memory[offset:].view(args[which].shape)
    host.ddf_forward(*args, 1, 1, "mul")
    host.ddf_backward(torch.empty(2, 8, 16, 16, dtype=dtype), *args, 1, 1, "mul")
    sums = [variant for variant in planned if variant.kernel == "backward_channel_sum"]
    assert {variant.form for variant in planned if variant not in sums} == {form}
    if form == "row":
        with pytest.raises(ValueError, match="a tensor is not aligned to four values"):
            host.ddf_forward(*args, 1, 1, "mul", form="vector")


def test_memory_in_another_order_is_copied_before_a_launch(planned):
    x, channel_filter, spatial_filter = DDFCase((2, 8, 16, 16)).make(torch.float32)
    x = x.contiguous(memory_format=torch.channels_last)
    spatial_filter = spatial_filter[:1].expand(2, -1, -1, -1)
    host.ddf_forward(x, channel_filter, spatial_filter, 1, 1, "mul")
    assert [variant.form for variant in planned] == ["vector"]


@pytest.mark.parametrize("form", ["vector", "row"])
def test_a_fast_form_of_a_large_kernel_is_refused(form, planned):
    args = DDFCase((2, 8, 16, 16), kernel_size=9).make(torch.float32)
    with pytest.raises(ValueError, match=f'"{form}" of forward .* kernel_size is 9, above 7'):
        host.ddf_forward(*args, 1, 1, "mul", form=form)
    with pytest.raises(ValueError, match=f'"{form}" of backward_x .* kernel_size is 9, above 7'):
        host.ddf_backward(args[0], *args, 1, 1, "mul", form=form)
    assert planned == []
    host.ddf_forward(*args, 1, 1, "mul")
    assert [variant.form for variant in planned] == ["general"]


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize("dtype", [torch.int64, torch.float8_e5m2], ids=str)
def test_a_dtype_that_no_kernel_takes_is_named(dtype):
    args = [arg.to(dtype) for arg in DDFCase((2, 8, 16, 16)).make(torch.float32)]
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=f"float32, float64, float16, bfloat16, got {name}"):
        host.ddf_forward(*args, 1, 1, "mul")


def test_out_must_not_overlap_what_is_read_on_cuda():
    """The implementation for CUDA, which refuses before it looks for a GPU."""
    x, *filters = DDFCase((2, 5, 9, 8)).make(torch.float32)
    memory = torch.zeros(x.numel() + 1)
    x, out = memory[1:].view_as(x), memory[:-1].view_as(x)
    import_module("repro.ops")  # registers it
    ddf_out = torch.ops.repro.ddf_out.default
    on_cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    with pytest.raises(ValueError, match="out must not overlap x"):
        ddf_out.redispatch(on_cuda, x, *filters, 1, 1, "mul", out=out)


@pytest.mark.gpu
def test_kernels_run_on_the_current_stream():
    stream = torch.cuda.Stream()
    x = torch.ones(1, 1, 512, 512, device="cuda")
    one = torch.ones(1, 1, 1, 1, device="cuda")
    spatial_filter = torch.ones(1, 1, 512, 512, device="cuda")
    host.ddf_forward(x, one, spatial_filter, 1, 1, "mul")  # loads the kernel
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        x.fill_(2)
        out = host.ddf_forward(x, one, spatial_filter, 1, 1, "mul")
    stream.synchronize()
    assert (out == 2).all()


@pytest.mark.gpu
def test_calls_are_captured_in_a_cuda_graph():
    args = DDFCase((2, 8, 16, 16)).make(torch.float32, "cuda")
    grad_out = torch.randn_like(args[0])

    def step():
        forward = host.ddf_forward(*args, 1, 1, "mul")
        return forward, *host.ddf_backward(grad_out, *args, 1, 1, "mul")

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    args[0].mul_(2)
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(one, other) for one, other in zip(captured, step(), strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["vector", "row", "general"])
def test_all_forms_agree_on_the_device(form):
    args = DDFCase((2, 40, 36, 64)).make(torch.float32, "cuda")
    grad_out = torch.randn_like(args[0])
    doubles = [arg.double() for arg in args]
    expected = [
        host.ddf_forward(*doubles, 1, 1, "mul", form="general"),
        *host.ddf_backward(grad_out.double(), *doubles, 1, 1, "mul", form="general"),
    ]
    actual = [
        host.ddf_forward(*args, 1, 1, "mul", form=form),
        *host.ddf_backward(grad_out, *args, 1, 1, "mul", form=form),
    ]
    for one, other in zip(actual, expected, strict=True):
        error = (one.double() - other).abs().max() / other.abs().max()
        assert error < 2e-6


@pytest.mark.gpu
def test_tensors_that_are_not_aligned_or_overlap_are_read_where_they_point():
    shape = (1, 4, 8, 8)
    args = DDFCase(shape).make(torch.float32, "cuda")
    expected = host.ddf_forward(*args, 1, 1, "mul")
    memory = torch.empty(args[0].numel() + 1, device="cuda")
    shifted = memory[1:].view(shape).copy_(args[0])
    torch.testing.assert_close(host.ddf_forward(shifted, *args[1:], 1, 1, "mul"), expected)
    same = args[2][:1, :, :1, :1].expand(args[2].shape)
    torch.testing.assert_close(
        host.ddf_forward(*args[:2], same, 1, 1, "mul"),
        host.ddf_forward(*args[:2], same.contiguous(), 1, 1, "mul"),
    )


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("shape", [(9, 256, 1024, 1024), (1, 2100, 1024, 1024)], ids=str)
def test_tensors_of_more_than_int32_values(shape):
    """Many images, whose indices are counted from each; and one that needs the general form."""
    case = DDFCase((1, 2, *shape[2:]))
    x, channel_filter, spatial_filter = case.make(torch.float16, "cuda")
    x = x[:, :1].expand(shape).contiguous()
    channel_filter = channel_filter[:, :1].expand(*shape[:2], 3, 3)
    spatial_filter = spatial_filter.expand(shape[0], 9, *shape[2:])
    assert x.numel() > 2**31
    out = host.ddf_forward(x, channel_filter, spatial_filter, 1, 1, "mul")
    assert torch.equal(out[0, 0], out[-1, -1])
    first = host.ddf_forward(x[:1, :1], channel_filter[:1, :1], spatial_filter[:1], 1, 1, "mul")
    torch.testing.assert_close(out[-1, -1], first[0, 0])


@pytest.mark.gpu
def test_a_call_on_another_device_leaves_the_current_one():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    args = DDFCase((1, 4, 8, 8)).make(torch.float32, "cuda:1")
    out = host.ddf_forward(*args, 1, 1, "mul")
    assert out.device.index == 1
    assert torch.cuda.current_device() == 0
