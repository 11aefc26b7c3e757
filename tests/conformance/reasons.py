"""Why a case did not pass: one table of reason classes and one of rules that give a failure or a skip its class."""

import ast
import functools
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

Result = dict[str, Any]


class Counts(Enum):
    """What a class of cases means for the pass rate, passed / (cases - vendor - void)."""

    VENDOR = "vendor"  # about one vendor's hardware, API or intermediate code: left out of the rate
    VOID = (
        "void"  # no case to pass: excluded on every device, beyond this host, or for another Triton than the installed
    )
    OURS = "ours"  # counts against the device


@dataclass(frozen=True)
class Rule:
    """``reason`` holds for a case of that outcome whose message, test source and statement contain the expressions."""

    reason: str
    message: str
    counts: Counts
    outcome: str = "failed"
    source: str = ""  # of the test function, its decorators included
    statement: str = ""  # the line of the test that failed or skipped
    raised: str = ""  # the line, anywhere, that raised


def _skip(reason: str, message: str, counts: Counts, source: str = "") -> Rule:
    return Rule(reason, message, counts, "skipped", source)


_V, _N, _O = Counts.VENDOR, Counts.VOID, Counts.OURS
VOID = "the test excludes the combination on every device"
GPU_CODE = r"asm\[.(ptx|amdgcn|ttgir|llir|sass)"

_BACKENDS = r"(?i)only (nccl|mpi|gloo)|(nccl|gloo).*only|requires backend|nccl (does|doesn|backend)|(nccl|gloo)[- ]only"
_OF_A_NAME = r"monitored_?barrier|'custom' != 'mccl'|'mccl' != '(gloo|nccl)'"

_OLDER_TORCH = (
    r"get_dim_groups|foreach_all_gather\(\) missing|<class .ValueError.> != <class .AssertionError.>"
    r"|does not support sharded embedding|cannot import name '_Partial'|torch\.distributed\._tensor\.ops"
)

# The first rule that holds gives the class.
RULES: tuple[Rule, ...] = (
    # Skips. First the combinations that a test leaves out on every device, whatever else it is about.
    _skip(VOID, r"Padding with NaN|uint cannot be negative|Invalid last dim|Only IEEE precision", _N),
    _skip(VOID, r"linear_recurrence scan on bfloat16|bfloat16 compare not supported before sm90|[Dd]uplicated", _N),
    _skip(VOID, r"not supported for loss_type|numerical(ly)? (unstable|instability)|unstable BF16|under exp", _N),
    _skip(VOID, r"Flaky test|(trivial|invalid) dim$", _N),
    _skip(VOID, r"forward computation twice|Backward pass with FP8", _N),
    _skip("no sample in this dtype, or none whose result is determined", r"^no sample", _N),
    _skip("{0}", r"^(not run here: .*)", _N),
    _skip("vendor: clusters of SMs (num_ctas)", r"CTAs is unsupported|Multi-CTA|compute capability >= 9", _V),
    _skip("vendor: clusters of SMs (num_ctas)", r"Only supported on CUDA and HIP", _V, source=r"num_ctas"),
    _skip("vendor: inline assembly of a GPU", r"inline_asm is only", _V),
    _skip("vendor: registers of a GPU (maxnreg)", r"maxnreg", _V),
    _skip("vendor: GPU architectures by name (override_arch)", r"arch only for", _V),
    _skip("vendor: clock, SM number, threads of a GPU", r"Only for cuda or HIP", _V, source=r"timer|smid|num_threads"),
    _skip("vendor: dots smaller than 16, which upstream runs on AMD only", r"small dots are supported only on HIP", _V),
    _skip("vendor: matrix units of AMD", r"CDNA|RDNA|WMMA|MFMA|mfma|kpack|only on HIP", _V),
    _skip("vendor: inspects ptx, amdgcn, llir or ttgir", "", _V, source=GPU_CODE),
    _skip(
        "vendor: CUDA's cuTile and CuTe DSL",
        r"cuTile|CuTe|CuteDSL|cutlass|[Cc]utedsl|cute|cutile|No module named 'cuda'",
        _V,
    ),
    _skip(
        "vendor: needs an NVIDIA architecture (sm90, sm100)",
        r"([Rr]equires|needs) (two )?(SM|sm|Hopper|Blackwell)|[Bb]lackwell",
        _V,
    ),
    _skip(
        "needs a second device",
        r"at least (\w+) CUDA devices|>= \d+ GPUs|[Rr]equires .*devices|multiple GPUs|world_size",
        _V,
    ),
    _skip("only for other devices, by name", r"Only runs on|Excluded from CUDA tests|[Nn]ot supported on CPU", _V),
    _skip("missing package", r"test require SciPy", _V),
    _skip(VOID, r"pytorch/(issues|pull)/|due to flakiness|failing in", _N),
    _skip("not run here: needs more ranks", r"small world size|world size of|Need at least|^needs \d", _N),
    _skip("of a backend by another name (see the other suite)", _BACKENDS, _N),
    _skip("not run here: torch's own slow tests are off", r"test is slow; run with", _N),
    _skip(VOID, r"^expected failure", _N),
    _skip("not run here: asks for {0} of free device memory", r"requires ([\d.]+ GB) of free CUDA memory", _N),
    _skip("missing package", r"not available in|requires torchvision|num2words|requires [\w-]+ to be installed", _V),
    _skip("CUDA-only API", r"CUDA|[Oo]nly (supported )?(for|on|works on) cuda", _V),
    _skip("missing package", r"could not import|not installed|No module named|not available", _V),
    _skip("upstream skip: only for device 'cuda'", r"^Skipped$", _O, source=r"device != .cuda"),
    _skip(VOID, r"^Skipped$", _N),
    _skip("upstream skip: {0}", r"^([^\n]{0,80})", _O),
    Rule(
        "vendor: operators of torch_npu",
        r"no attribute '(npu_\w+|contrib|\w*hccl\w*)'|torch_npu\.(mtia_sim|contrib)",
        _V,
    ),
    Rule("vendor: what torch has under the name gloo or nccl alone", _OF_A_NAME, _V),
    Rule("a test of an older torch", _OLDER_TORCH, _N),
    Rule("a class without cases, which pytest cannot make", r"has no attribute 'runTest'", _N),
    # Failures of a process and of what a test asks of another vendor.
    Rule("not run to its end here: needs {0} of host memory", r"^host memory: (more than [\d.]+ GiB)", _N),
    Rule("crash of the process", r"^(killed by|exit )", _O),
    Rule("time limit of a case", r"^hang", _O),
    Rule(
        "test of a Triton front end that the installed Triton has not",
        r"tl\.topk\([\s\S]*unexpected keyword argument .descending",
        _N,
    ),
    Rule("vendor: inspects ptx, amdgcn, llir or ttgir", r"KeyError: .*'(ptx|amdgcn|ttgir|llir|sass|cubin)'", _V),
    Rule("missing package", r"ModuleNotFoundError|ImportError", _V),
    Rule("CUDA-only API", "", _V, raised=r"\.is_cuda\b"),
    # It records which matrix products run; Liger-Kernel takes these where `device.type == "cuda"`. Numbers are ours.
    Rule(
        "vendor: a fast path that Liger-Kernel takes on CUDA only",
        r"^AssertionError",
        _V,
        source=r"_(Op|Buffer)Recorder\(",
        statement=r"\brec\.\w+_out|in logits_out\]",
    ),
    Rule("a collective on sparse tensors, which torch has for CPU and CUDA", r"Unimplemented: c10d::allreduce_ ", _O),
    Rule("CUDA-only API", r"Torch not compiled with CUDA|no NVIDIA driver|CUDA driver", _V),
    # Failures that are ours.
    Rule("refused: local memory", r"OutOfLocalMemory|OutOfResources", _O),
    Rule("not implemented: {0}", r"UnsupportedOperation: \S+:\d+: ([\w.]+)", _O),
    Rule("refused: host memory as a kernel's argument", r"pointer argument \d+ is a tensor on cpu", _O),
    Rule("refused: {0}", r"(Unsupported: [^\n]{0,60})", _O),
    Rule("not implemented: {0}", r"Unimplemented: (\S+)", _O),
    Rule("not implemented: dtype {0}", r"NotImplementedError: mtia_sim computes with .* got (\w+)", _O),
    Rule("wrong result", r"Not equal to tolerance|Tensor-likes are not|Arrays are not|Mismatched elements", _O),
    Rule("assertion of the test", r"^AssertionError", _O, statement=r"^assert"),
    Rule("error: {0}", r"^(\w+)", _O),
)


def classify(result: Result, root: Path) -> tuple[str, Counts]:
    """Class of a case that failed or was skipped."""
    message = result.get("message") or ""
    source = test_source(root / result["file"], result.get("case", ""))
    for rule in RULES:
        if rule.outcome != result["outcome"]:
            continue
        found = re.search(rule.message, message)
        if found is None or not re.search(rule.source, source):
            continue
        lines = (result.get("statement") or "", result.get("raised_line") or "")
        if not (re.search(rule.statement, lines[0]) and re.search(rule.raised, lines[1])):
            continue
        return rule.reason.format(*found.groups()), rule.counts
    return "unclassed", Counts.OURS


@functools.cache
def _functions(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    text = path.read_text()
    lines = text.splitlines()
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def test_source(path: Path, case: str) -> str:
    """Source text of the test function of a case id, empty where it has none."""
    name = case.split("::")[-1].split("[")[0]
    return _functions(path).get(name, "")
