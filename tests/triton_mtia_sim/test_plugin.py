"""The backend as Triton's plugin: imports, options, activity, launch codes, cache keys, errors."""

import abc
import inspect
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import triton
import triton.backends
import triton.language as tl
from triton.backends.compiler import GPUTarget

from mtia_core import isa
from mtia_core.errors import InvalidProgram
from mtia_core.program import TileProgram
from triton_mtia_sim import compiler, versions
from triton_mtia_sim.compiler import MtiaBackend, chip_fingerprint, makes_pointers
from triton_mtia_sim.driver import MtiaDriver, MtiaUtils
from triton_mtia_sim.errors import OutOfLocalMemory, UnsupportedOperation
from triton_mtia_sim.launch import compile_launch
from triton_mtia_sim.launch_codes import launch_codes

TARGET = GPUTarget("mtia_sim", "mtia300", 1)


@pytest.mark.parametrize(
    "first", ["triton", "triton_mtia_sim.compiler", "triton_mtia_sim.driver", "triton_mtia_sim.launch"]
)
def test_imports_in_any_order_and_without_torch(first):
    code = f"""
import sys
import triton_mtia_sim, mtia_core
assert "triton" not in sys.modules
import {first}, triton_mtia_sim.compiler, triton_mtia_sim.driver, triton.backends
assert "torch" not in sys.modules
backend = triton.backends.backends.get("mtia_sim")
assert backend is None or backend.compiler is triton_mtia_sim.compiler.MtiaBackend
assert backend is None or backend.driver is triton_mtia_sim.driver.MtiaDriver
"""
    paths = [path for path in sys.path if path]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"], check=True)


def test_foreign_options_are_accepted_and_ours_checked():
    backend = MtiaBackend(TARGET)
    options = backend.parse_options({"waves_per_eu": 2, "matrix_instr_nonkdim": 16, "num_ctas": 1, "num_stages": 4})
    assert options.num_stages == 4 and options.waves_per_eu == 2
    assert options.hash() != backend.parse_options({}).hash()
    with pytest.raises(ValueError, match="num_stages is 0"):
        backend.parse_options({"num_stages": 0})


def test_the_cache_key_follows_the_chip():
    assert MtiaBackend(TARGET).hash() != MtiaBackend(GPUTarget("mtia_sim", "mtia1", 1)).hash()
    assert chip_fingerprint("mtia300") == chip_fingerprint("mtia300")


def test_another_active_driver_goes_first(monkeypatch):
    class Other:
        @staticmethod
        def is_active():
            return True

    monkeypatch.delenv("TRITON_DEFAULT_BACKEND", raising=False)
    backend = triton.backends.Backend(None, Other)
    monkeypatch.setitem(triton.backends.backends, "other", backend)
    assert not MtiaDriver.is_active()
    monkeypatch.setenv("TRITON_DEFAULT_BACKEND", "mtia_sim")
    assert MtiaDriver.is_active()


def test_two_drivers_that_give_way_to_each_other_do_not_ask_for_ever(monkeypatch):
    class Polite:
        @staticmethod
        def is_active():
            return not MtiaDriver.is_active()

    monkeypatch.delenv("TRITON_DEFAULT_BACKEND", raising=False)
    monkeypatch.setitem(triton.backends.backends, "polite", triton.backends.Backend(None, Polite))
    assert not MtiaDriver.is_active()
    assert Polite.is_active()


def run_python(code, **environment):
    paths = [path for path in sys.path if path]
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


AS_VERSION = """
import importlib.util, pathlib, re, sys
specification = importlib.util.find_spec("triton")
source = pathlib.Path(specification.origin).read_text()
module = importlib.util.module_from_spec(specification)
sys.modules["triton"] = module
source = re.sub("__version__ = .*", "__version__ = '{version}'", source)
exec(compile(source, specification.origin, "exec"), module.__dict__)
import triton_mtia_sim.compiler, triton_mtia_sim.driver, triton.backends
from triton.backends.compiler import GPUTarget
backend, driver = triton_mtia_sim.compiler.MtiaBackend, triton_mtia_sim.driver.MtiaDriver
target = GPUTarget("mtia_sim", "mtia300", 1)
"""


def test_a_triton_of_an_unknown_version_is_refused_in_one_sentence_and_imports_for_others():
    code = """
assert not driver.is_active()
try:
    backend(target)
except ImportError as error:
    print(error)
"""
    for version in ("3.8.0", "3.9.1", "4.1.0"):
        finished = run_python(AS_VERSION.format(version=version) + code, TRITON_DEFAULT_BACKEND="")
        sentence = finished.stdout.strip()
        assert sentence.startswith(f"mtia_sim works with Triton 3.7 and stays off under this one, {version}")
        assert finished.stderr.strip() == sentence
    assert run_python(AS_VERSION.format(version="3.7.2") + "backend(target)").stderr == ""


def test_a_triton_that_asks_for_more_can_still_be_imported(monkeypatch):
    class Demanding(abc.ABC):
        @abc.abstractmethod
        def more(self): ...

    class Plugin(Demanding):
        pass

    versions.keep_concrete(Plugin)
    assert inspect.isabstract(Plugin)
    monkeypatch.setattr(versions, "refusal", lambda: "no")
    versions.keep_concrete(Plugin)
    assert not inspect.isabstract(Plugin)


def test_a_host_with_a_cuda_driver_keeps_it():
    """Triton makes the CUDA driver its own; the variable, or set_active, chooses this one."""
    code = """
import triton, triton.backends
from triton.backends.driver import DriverBase
class Cuda(DriverBase):
    @classmethod
    def is_active(cls): return True
    def map_python_to_cpp_type(self, ty): pass
    def get_current_target(self): pass
    def get_active_torch_device(self): pass
    def get_benchmarker(self): pass
import triton_mtia_sim.compiler, triton_mtia_sim.driver
triton.backends.backends["mtia_sim"] = triton.backends.Backend(
    triton_mtia_sim.compiler.MtiaBackend, triton_mtia_sim.driver.MtiaDriver)
triton.backends.backends["nvidia"] = triton.backends.Backend(triton.backends.backends["nvidia"].compiler, Cuda)
triton.backends.backends.pop("amd")
print(type(triton.runtime.driver.active).__name__)
triton.runtime.driver.set_active(triton_mtia_sim.driver.MtiaDriver())
print(type(triton.runtime.driver.active).__name__)
"""
    assert run_python(code, TRITON_DEFAULT_BACKEND="").stdout.split() == ["Cuda", "MtiaDriver"]
    assert run_python(code, TRITON_DEFAULT_BACKEND="mtia_sim").stdout.split() == ["MtiaDriver", "MtiaDriver"]


def test_launch_codes():
    types = [
        "*fp32",
        "constexpr",
        "i32",
        "u8",
        "i64",
        "i1",
        "fp32",
        "fp64",
        "bf16",
        ("*i8", ("i32", "constexpr")),
        "tensordesc<fp16[16, 64]>",
    ]
    assert launch_codes(types) == "P-ibl1fdy(P(i-))D2"
    with pytest.raises(TypeError, match="complex64"):
        launch_codes(["complex64"])


def test_kernels_that_make_pointers_are_known():
    assert makes_pointers('%1 = "tt.int_to_ptr"(%0) : (i64) -> !tt.ptr<f32>')
    assert makes_pointers('%1 = "tt.load"(%0) : (!tt.ptr<!tt.ptr<f32>>) -> !tt.ptr<f32>')
    assert not makes_pointers('%1 = "tt.load"(%0) : (!tt.ptr<f32>) -> f32')


def test_errors_survive_pickling():
    unsupported = UnsupportedOperation("tt.x", "k.py:3", "has no lowering", "rewrite it")
    assert (
        str(pickle.loads(pickle.dumps(unsupported)))
        == "UnsupportedOperation: k.py:3: tt.x: has no lowering; rewrite it"
    )
    memory = OutOfLocalMemory(160 * 1024, 128 * 1024, "local memory", "softmax.py:42", "mtia1")
    expected = "softmax.py:42 needs 160 KiB of local memory, a PE of mtia1 has 128 KiB; use a smaller BLOCK"
    assert str(pickle.loads(pickle.dumps(memory))).startswith(expected)


def test_a_corrupted_program_is_refused():
    data = TileProgram("empty").encode()
    assert TileProgram.decode(data).name == "empty"
    for broken in (b"", b"MTIAPROG", data[:-1], data[:30] + b"\x01" + data[31:], b"X" + data[1:]):
        with pytest.raises(InvalidProgram):
            TileProgram.decode(broken)


def test_a_program_says_whether_it_waits_for_products():
    signature, constants = {"x": "*fp32", "n": "i32"}, {"BLOCK": 64}
    beside = TileProgram.decode(compile_launch(double_kernel, signature, constants, chip="h100").program)
    options = {"waits_for_products": True}
    waiting = TileProgram.decode(compile_launch(double_kernel, signature, constants, options, chip="h100").program)
    assert (beside.waits_for_products, waiting.waits_for_products) == (False, True)
    assert "waits for products" in waiting.disassemble() and "waits" not in beside.disassemble()


@triton.jit
def double_kernel(x, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(x + offsets, tl.load(x + offsets, mask=offsets < n) * 2, mask=offsets < n)


def test_programs_of_launches_are_kept_on_disk_and_damage_is_mended(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    signature = {"x": "*fp32", "n": "i32"}
    first = compile_launch(double_kernel, signature, {"BLOCK": 64}, chip="mtia300")
    (file,) = (tmp_path / "mtia_sim").iterdir()
    monkeypatch.setattr(triton, "compile", None)  # a known program needs no compiler
    assert compile_launch(double_kernel, signature, {"BLOCK": 64}, chip="mtia300") == first
    monkeypatch.undo()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    file.write_bytes(file.read_bytes()[:-3] + b"abc")
    assert compile_launch(double_kernel, signature, {"BLOCK": 64}, chip="mtia300") == first
    assert compile_launch(double_kernel, signature, {"BLOCK": 128}, chip="mtia300") != first
    assert compile_launch(double_kernel, signature, {"BLOCK": 64}, chip="mtia1").program == first.program
    assert len(list((tmp_path / "mtia_sim").iterdir())) == 3


def test_the_cache_key_follows_the_plugin_the_chip_file_and_triton(tmp_path, monkeypatch):
    chip = tmp_path / "mine.toml"
    keys = []
    for energy in (1, 2):
        chip.write_text(
            'name = "mine"\nbase = "mtia300"\n[power]\n'
            f'leakage_watts = {{ value = {energy}, kind = "assumed", how = "a test" }}\n'
        )
        chip_fingerprint.cache_clear()
        keys.append(MtiaBackend(GPUTarget("mtia_sim", str(chip), 1)).hash())
    copy = tmp_path / "triton_mtia_sim"
    shutil.copytree(Path(compiler.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiler, "__file__", str(copy / "compiler.py"))
    for addition in ("", "# changed\n"):
        (copy / "lowering" / "memory.py").open("a").write(addition)
        compiler.plugin_fingerprint.cache_clear()
        keys.append(MtiaBackend(TARGET).hash())
    monkeypatch.undo()
    compiler.plugin_fingerprint.cache_clear()
    assert len(set(keys)) == 4 and keys[2] == MtiaBackend(TARGET).hash()


def test_the_instruction_table_is_read_whole():
    assert isa.instructions()[0].mnemonic == "add_f"
    assert len(isa.by_mnemonic()) == len(isa.instructions()) > 100
    gather = isa.by_mnemonic()["gather"]
    assert [field.name for field in gather.operands] == ["base", "offset", "mask", "other"]
    assert [field.optional for field in gather.operands] == [True, False, True, True]


def test_a_device_without_runtime_says_what_to_do(monkeypatch):
    import triton_mtia_sim.driver as module

    monkeypatch.setattr(module, "_runtime", None)
    with pytest.raises(RuntimeError, match="import torch"):
        MtiaUtils().get_device_properties(0)


@triton.jit
def assembly_kernel(x, out):
    value = tl.load(x)
    tl.store(out, tl.inline_asm_elementwise("abs.s32 $0, $1;", "=r,r", [value], dtype=tl.int32, is_pure=True, pack=1))


def test_inline_assembly_is_refused_with_its_line():
    with pytest.raises(UnsupportedOperation, match=r"test_plugin.py:\d+: .*abs.s32 \$0, \$1;.*triton.language"):
        compile_launch(assembly_kernel, {"x": "*i32", "out": "*i32"}, {})
