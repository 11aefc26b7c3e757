"""The suites and how the device of each is changed: one row a suite."""

import os
from dataclasses import dataclass, replace

from mtia_core import chips

DEVICE = "mtia_sim"
# Tests of Liger-Kernel's Triton kernels that name "cuda" although nothing in them is CUDA's: they skip unless
# torch.cuda.is_available(), make their tensors on "cuda", assert is_cuda, or count the processors of known vendors.
_LIGER_NAMES_CUDA = (
    "test/ops/test_*.py",
    *(f"test/transformers/test_{name}.py" for name in ("dyt", "mlp", "muse_glimmer", "selective_log_softmax_strides")),
)

_LOOKS_LIKE_CUDA = (
    ("torch.cuda.is_available", True),
    ("torch.cuda.is_bf16_supported", True),
    ("torch.cuda.get_device_capability", (8, 0)),
    ("torch.cuda.device_count", 2),
    ("torch.cuda.is_current_stream_capturing", False),
    ("torch.cuda.empty_cache", None),
)


def _ranks(count: int, devices: int) -> tuple[tuple[str, str], ...]:
    """A distributed case that does not say how many ranks it needs has `count`, of a core each."""
    numbers = {"WORLD_SIZE": count, "MTIA_SIM_DEVICE_COUNT": devices, "MTIA_SIM_THREADS": 1, "OMP_NUM_THREADS": 1}
    return tuple((name, str(number)) for name, number in numbers.items())


# Ascend's tree names its collectives library, and keeps copies of modules of torch.
_OF_ASCEND = (
    (r"\bnpu\b", DEVICE),
    (r"\bhccl\b", "mccl"),
    ("is_hccl_available", "is_mccl_available"),
    ("Backend.HCCL", "Backend.MCCL"),
    ("torch_npu.distributed", "torch.distributed"),
)


@dataclass(frozen=True)
class Suite:
    """Somebody else's tests: ``folder`` of the source tree (--src) is pytest's root, ``files`` are patterns in it."""

    name: str
    title: str
    folder: str
    files: tuple[str, ...]
    excluded: tuple[str, ...] = ("**/__init__.py", "**/conftest.py")
    # What changes the device: options of the tests' own conftest, functions and what they shall return (the device's
    # name, or what the device can do where they only know vendors), devices that torch calls of the tests name as a
    # literal and that are to mean ours, and what stands for what.
    options: tuple[str, ...] = ()
    returns: tuple[tuple[str, str | int | bool | tuple[int, ...] | None], ...] = ()
    redirect: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    renames: tuple[tuple[str, str], ...] = ()  # expressions in the text of the tree's files, and what stands for them
    prepare: str = ""  # a function to call before files are imported
    after_case: str = ""  # a function to call after every case
    apart: bool = False  # each case in a process of its own
    python_path: tuple[str, ...] = ()  # folders of the source tree
    arguments: tuple[str, ...] = ()  # further arguments of pytest that do not concern the device
    scripts: bool = False  # files without test functions run as programs; one case a file
    benchmark_points: int = 0  # sizes kept of each triton.testing.Benchmark, 0 for all
    not_run: tuple[tuple[str, str], ...] = ()  # expressions of case ids that this host cannot run, and why
    timeout_s: int = 600  # of a case
    chunk: int = 800  # cases a process
    environment: tuple[tuple[str, str], ...] = ()
    own: bool = False  # the files are this repository's, about somebody else's tables of tests: no --src


_DISTRIBUTED = Suite(
    name="distributed",
    title="torch's distributed cases, as its wheel has them",
    folder="tests/conformance/distributed",
    files=("cases.py",),
    returns=_LOOKS_LIKE_CUDA,
    redirect=("cuda",),
    prepare="mtia_sim_many_ranks.prepare",
    apart=True,
    environment=_ranks(2, devices=2),
    python_path=(".",),
    arguments=("--noconftest", "--import-mode=importlib", "-c", os.devnull),
    timeout_s=180,
    chunk=20,
    own=True,
)

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="triton",
            title="Triton's own language tests",
            folder="python/test",
            files=tuple(
                f"unit/language/test_{name}.py"
                for name in (
                    "core",
                    "standard",
                    "random",
                    "block_pointer",
                    "conversions",
                    "tensor_descriptor",
                    "tuple",
                    "mxfp",
                )
            ),
            options=("--device", DEVICE),
            redirect=("cuda",),  # Triton's default_alloc_fn allocates on "cuda" whatever the device
            replace=(
                ("torch.cuda.device", "torch.mtia_sim.device"),  # test_zero_strided_tensors
                ("torch.cuda.synchronize", "torch.mtia_sim.synchronize"),  # test_tensor_descriptor_batched_gemm_3d_tma
            ),
            arguments=("--max-cases-per-test", "0"),
        ),
        Suite(
            name="tutorials",
            title="Triton's tutorials",
            folder="python/tutorials",
            files=("0[1-6]-*.py", "08-*.py"),
            redirect=("cuda",),  # their allocators allocate on "cuda"; all else asks the active driver for its device
            scripts=True,
            benchmark_points=1,
            not_run=(
                (
                    r"06-fused-attention\.py::test_op\[triton-(fp16-bwd|fp8-fwd)-.*-4096-48-[14]\]$",
                    "its own reference needs over 12 GB of host memory",
                ),
            ),
            timeout_s=900,
            chunk=20,
        ),
        Suite(
            name="liger",
            title="Liger-Kernel's own tests",
            folder="",
            files=("test/**/test_*.py",),
            # convergence trains models; Liger's own `make test` leaves it out too
            excluded=("test/convergence/**/*.py", *_LIGER_NAMES_CUDA),
            returns=(
                ("liger_kernel.utils.infer_device", DEVICE),
                ("liger_kernel.utils.get_total_gpu_memory", chips.load().dram_bytes >> 30),
                ("test.utils.supports_bfloat16", True),
            ),
            after_case="torch.mtia_sim.empty_cache",  # as its conftest does on the devices that it knows
            python_path=("src", "."),
            chunk=100,
        ),
        Suite(
            name="liger_cuda",
            title="Liger-Kernel's own tests that name the device cuda",
            folder="",
            files=_LIGER_NAMES_CUDA,
            returns=(
                ("liger_kernel.utils.infer_device", "cuda"),
                ("liger_kernel.utils.get_total_gpu_memory", chips.load().dram_bytes >> 30),
                ("test.utils.supports_bfloat16", True),
                ("torch.cuda.is_available", True),
                ("torch.cuda.is_bf16_supported", True),
                ("torch.cuda.get_device_capability", (8, 0)),  # the first with bfloat16, which is what they ask for
                ("torch.cuda.device_count", 1),
                ("torch.cuda.current_device", 0),
                ("torch.cuda.synchronize", None),
                ("triton.backends.nvidia.driver.CudaDriver.is_active", False),  # it asks torch.cuda.is_available too
            ),
            redirect=("cuda",),
            replace=(
                ("torch.cuda.get_device_properties", "torch.mtia_sim.get_device_properties"),
                ("torch.cuda.empty_cache", "torch.mtia_sim.empty_cache"),
            ),
            python_path=("src", "."),
            chunk=100,
        ),
        Suite(
            name="opinfo",
            title="torch's OpInfo database",
            folder="tests/conformance/opinfo",
            files=("cases.py",),
            python_path=(".",),
            arguments=("--noconftest", "--import-mode=importlib", "-c", os.devnull),
            timeout_s=120,
            chunk=250,
            own=True,
        ),
        Suite(
            name="device",
            title="torch's generic device tests, from Intel's tree of operators (copies that torch's wheel leaves out)",
            folder="test/xpu",
            # The others of its files only patch files of torch's own tree, which no wheel has.
            files=(
                "test_torch_xpu.py",
                "test_nn_xpu.py",  # needs the package hypothesis
                "test_transformers_xpu.py",
                "nn/test_convolution_xpu.py",
                "nn/test_dropout_xpu.py",
            ),
            redirect=("xpu",),
            replace=(
                (
                    "torch.testing._internal.common_device_type.instantiate_device_type_tests",
                    "mtia_sim_device_tests.instantiate",
                ),
            ),
            arguments=("--noconftest", "-c", os.devnull, "-k", "PRIVATEUSE1 or MTIA_SIM"),
            python_path=("test/xpu",),
            timeout_s=120,
            chunk=300,
        ),
        _DISTRIBUTED,
        replace(
            _DISTRIBUTED,
            name="distributed_nccl",
            title="torch's distributed cases, as its wheel has them, with the names of NCCL",
            prepare="mtia_sim_many_ranks.prepare_as_nccl",
        ),
        Suite(
            name="distributed_tree",
            title="torch's distributed tests, from Ascend's tree (copies that torch's wheel leaves out)",
            folder="test/distributed",
            # The others are about their collectives library, torch's RPC and its rendezvous.
            files=(
                "_composable/fsdp/test_*.py",
                "_tensor/test_*.py",
                "algorithms/ddp_comm_hooks/test_*.py",
                "checkpoint/test_*.py",
                "fsdp/test_*.py",
                "fsdp2/test_*.py",
                "tensor/parallel/test_*.py",
                "tensor/test_context_parallel_attention.py",
                "tensor/test_dtensor_native_kwargs_strategy.py",
                "tensor/test_fake.py",
                "tensor/test_sharded_optim.py",
                "test_c10d_functional_native.py",
                "test_c10d_object_collectives.py",
                "test_device_mesh.py",
                "test_local_tensor.py",
                "test_register_sharding.py",
                "test_store_api.py",
                "test_zero_redundancy_optimizer.py",
            ),
            renames=_OF_ASCEND,
            prepare="mtia_sim_npu_names.prepare",
            apart=True,
            arguments=("--noconftest", "--import-mode=importlib", "--assert=plain", "-c", os.devnull),
            environment=_ranks(4, devices=8),
            timeout_s=150,
            chunk=20,
        ),
        Suite(
            name="pipelining",
            title="torch's tests of pipelines, from Ascend's tree: a stage a device",
            folder="test/distributed",
            files=("pipelining/test_*.py",),
            renames=_OF_ASCEND,
            prepare="mtia_sim_npu_names.prepare",
            apart=True,
            environment=_ranks(2, devices=2),
            arguments=("--noconftest", "--import-mode=importlib", "--assert=plain", "-c", os.devnull),
            python_path=("test/distributed/pipelining",),
            timeout_s=150,
            chunk=20,
        ),
        Suite(
            name="files",
            title="a folder of kernels",
            folder="",
            files=("**/*.py",),
            redirect=("cuda",),
            python_path=(".",),
            scripts=True,
            chunk=400,
        ),
    )
}
