"""Writes the documents that are made of tables: `python docs/generate.py` (held to it by a test)."""

from collections.abc import Callable
from pathlib import Path

from mtia_core import checks, chips, isa

DOCUMENTS = Path(__file__).resolve().parent
MARKS = {"published": "", "derived": " ᵈ", "assumed": " ᵃ"}


CHIPS_HEAD = """\
# Chips

Made by `docs/generate.py` from `csrc/chip/chip_fields.def` and `python/mtia_core/chips`; the TOML files hold all
values, the source of every number and the reason of every assumption. `MTIA_SIM_CHIP` names a chip or a file.

## The chips

Rates are peaks without sparsity. ᵈ derived, ᵃ assumed, unmarked published; the last column counts a chip's numbers so.
"""

CHIP_FILES = """\
## A chip's file

```toml
name = "mine"
base = "mtia300"  # a chip or a file that supplies the fields left out

[dram]
dram_bytes_per_second = 9.15e12
dram_latency_ns = { value = 450, kind = "assumed", range = [300, 900], how = "a tenth less than mtia300" }
```

| Key | Meaning |
|---|---|
| `value` | the number, in the field's unit |
| `kind` | `published`: somebody printed it; `derived`: arithmetic on what is printed; `assumed`: nobody printed it |
| `range` | least and greatest plausible value of an assumed number; if left out, value / 1.5 to value * 1.5 |
| `source` | whose number: begins with a key of the table of sources; needed where published or derived |
| `how` | the arithmetic of a derived number, the reason of an assumed one |
| `note` | anything else, such as a source that disagrees |

A field out of its range is refused with its name, value and range. The tables `[cluster]` and `[host]`, and fields of
them, may be left out: they are 0 then.

## A cluster's file

How chips are wired belongs to a cluster: `MTIA_SIM_CLUSTER=FILE` puts the chip, whichever it is, into another. The file
has the table `[cluster]`, and of `[links]` `peer_link_bytes_per_second`; what it leaves out is as the chip's file says.
This is the cluster on which Llama 3 405B was trained (`examples/clusters/llama3_h100.toml`):

```toml
[links]
peer_link_bytes_per_second = 450e9    # NVLink, each direction

[cluster]
domain_chips = 8                      # a server behind NVSwitches
scale_out_bytes_per_second = 50e9     # 400 Gbit/s of RoCE a GPU
pod_chips = 3072
pod_out_bytes_per_second = 7.14e9     # oversubscribed 1 to 7
pod_out_latency_ns = 8000
```

Rank r of a job is chip r: ranks fill domains, and domains pods, one after another. Where all chips of a job are one
domain without latencies, no `[cluster]` is known of the chip: mtia1 and mtia2i have no links.

## Time and energy of a collective

- A collective takes `message_launch_ns`, a latency for each message that waits for another, and the time of the links
  that are busy longest; those of a domain and those between domains work side by side.
- The library takes the algorithm of least time (`csrc/network/algorithms.cpp`). Where `uses_rings` is 0: from every
  chip to every other, by recursive doubling between domains, and small sums at once. Where it is 1: rings, trees
  between domains, and sums made by switches where `switch_reduction_efficiency` is given, by the better of two
  protocols (`low_latency_fraction`, `stream_latency_factor`). On a torus: round all axes that the group spans.
- What is under way at once shares the links: the one that was called later gets what the earlier leaves
  (`csrc/network/contention.h`), so that both together take as long as their bytes.
- A launch beside it has the DRAM's bandwidth less `collective_dram_accesses` of it, and `collective_pes` fewer PEs
  (`csrc/runtime/grid_sharing.h`).
- Each byte sent takes `peer_picojoules_per_byte`, `scale_out_picojoules_per_byte` or `pod_out_picojoules_per_byte`.

## What a field means for other chips

The fields are those of MTIA. Other chips are described by the same ones:
"""

KINDS_OF_CHIP = ("Here", "MTIA", "GPU", "TPU", "Trainium2")
CHIP_PARTS = (
    ("PE", "processing element", "streaming multiprocessor, compute unit", "one MXU, its share of VMEM", "NeuronCore"),
    ("grid", "as built", "any rectangle; dies are rows of it", "MXUs of all cores", "cores of both dies"),
    ("local memory", "local memory", "shared, registers and tensor memory together", "VMEM", "SBUF and PSUM"),
    ("shared SRAM", "SRAM", "L2; on MI300X Infinity Cache", "VMEM's ports, caching nothing", "DMA, caching nothing"),
    ("dot product engine", "dot product engine", "tensor cores, matrix cores", "MXU", "tensor engine"),
    ("vector core", "two RISC-V vector cores", "CUDA cores, vector units", "vector unit", "vector engine"),
    ("SIMD engine", "look-up tables", "special function units", "transcendental unit", "scalar engine"),
    ("reduction engine", "reduction engine", "lanes and shuffles", "vector and cross-lane unit", "vector engine"),
    ("memory layout unit", "memory layout unit", "shared memory", "cross-lane unit", "tensor or vector engine"),
    ("fabric interface", "DMA", "tensor memory accelerator; loads and stores", "DMA", "DMA rings"),
    ("command processor", "command processor", "schedulers, thread blocks", "instruction words", "engines' sequencers"),
    ("launch", "work queue engine", "kernel launch on the device", "operator of a compiled step", "the same"),
)

CHIP_NOTES = """\
- `clock_hz` is the clock at which the published peak of products holds. Under `power_limit_watts` a chip falls below
  it: see the next section.
- `local_memory_bytes_per_cycle` of a GPU is that of the registers, since vector instructions work on them.
- `dot_f32_macs_per_cycle` is what IEEE products cost: CUDA cores on a GPU, bf16 passes on a TPU. A rate of 0 says that
  the chip lacks the type; kernels then convert the operands to one that it has.
- `dot_beside_vector` is 0 on A100, whose `mma.sync` keeps its warp: softmax and products of attention take turns.
  Later GPUs have asynchronous products beside it (`wgmma`, `tcgen05.mma`); a kernel that was written for A100, such as
  FlashAttention-2, still waits there, and reaches `dot_waited_fraction` of the rate. So does a Triton kernel launched
  with `waits_for_products=True`, and with `MTIA_SIM_ATTENTION_WAITS=1` attention. Chips of one kind of product (1) take
  no notice.
- Units of other clocks (Trainium2's vector engine) count in `clock_hz`.
- Two dies are one grid: the link between them is no bound, and its energy is in `network_picojoules_per_byte`.
- A TPU's PE is an MXU and not a core, since a PE's programs follow each other: four PEs side by side hide DMAs as a
  core's compiler does. What the MXUs share they fetch from HBM once.
- MX formats: an engine whose scaled blocks have `dot_mx_block_elements` takes groups of a multiple of that as they are,
  e2m1 at `dot_f4_macs_per_cycle`, fp8 and mixed operands at fp8's rate. Where it is 0, the vector core scales operands
  to bf16 first. Blackwell's blocks are 32, and 16 of e2m1 (`dot_f4_number_scales`).
- Power: [power_figures.md](power_figures.md) lists what is published of each chip, and what calibrates which number.

## Time and power of a launch

- A launch takes as long as the slowest of three: its slowest PE; what crosses between PEs and SRAM, at
  `sram_bytes_per_second` x `network_efficiency` (reads alone or writes alone at `sram_one_way_fraction` of it); what
  misses the SRAM, at `dram_bytes_per_second` x `dram_efficiency`. Where two of them are about as long, they delay each
  other by the machine repairman's law: n PEs that ask a memory at odd moments leave it idle for sqrt(1 / (pi n)) of the
  time (`csrc/emulator/timing/launch_totals.cpp`). `replace_ns` comes on top; a launch that finds the grid idle starts
  `launch_ns` - `replace_ns` later. Recording an event takes its stream `event_ns`; where launches were timed between
  events, that is in `launch_ns`.
- The SRAM keeps what was used last. What has to make room is written to DRAM if it is dirty, byte by byte from the
  oldest on (`csrc/emulator/timing/traffic.cpp`).
- Idle, a chip draws `leakage_watts` + `dram_idle_watts` + `links_watts`; while something runs `clock_watts` too; and
  each operation and byte its energy.
- Where that exceeds `power_limit_watts`, what the chip drew less than the limit before, at most the limit over
  `power_window_ms`, is spent first; then the clock falls, not below `clock_floor`, until the launch draws the limit.
  At a fraction r of the clock, PEs and SRAM are as much slower, the DRAM is not; operations take r^`voltage_exponent`
  of their energy, the clock r^(1 + `voltage_exponent`) of its power (`csrc/emulator/timing/power_limit.h`).
- No figure that we know shows rows and banks of the DRAM apart from `dram_efficiency` and `dram_access_bytes`. ECC,
  where published, is in `dram_efficiency`.
"""

CHIP_COLUMNS: dict[str, tuple[str, Callable[[chips.Chip], float], tuple[str, ...]]] = {
    "PEs": ("d", lambda chip: chip.processing_elements, ("pe_rows",)),
    "GHz": (".3g", lambda chip: chip.clock_hz / 1e9, ("clock_hz",)),
    "bf16, TFLOP/s": (".0f", lambda chip: dot_peak(chip, "f16"), ("dot_f16_macs_per_cycle",)),
    "fp4": (".0f", lambda chip: dot_peak(chip, "f4"), ("dot_f4_macs_per_cycle",)),
    "fp8": (".0f", lambda chip: dot_peak(chip, "f8"), ("dot_f8_macs_per_cycle",)),
    "int8": (".0f", lambda chip: dot_peak(chip, "i8"), ("dot_i8_macs_per_cycle",)),
    "local memory, KiB": (",d", lambda chip: chip.local_memory_bytes // 1024, ("local_memory_bytes",)),
    "SRAM, MiB": ("d", lambda chip: chip.sram_cache_bytes >> 20, ("sram_bytes",)),
    "SRAM, TB/s": (".3g", lambda chip: chip.sram_bytes_per_second / 1e12, ("sram_bytes_per_second",)),
    "DRAM, GB": (".0f", lambda chip: chip.dram_bytes / 1e9, ("dram_bytes",)),
    "DRAM, TB/s": (".3g", lambda chip: chip.dram_bytes_per_second / 1e12, ("dram_bytes_per_second",)),
    "TDP, W": (".0f", lambda chip: chip.tdp_watts, ("tdp_watts",)),
}


def dot_peak(chip: chips.Chip, dtype: str) -> float:
    """Operations of the dot product engines together, in 10^12 a second."""
    macs: float = getattr(chip, f"dot_{dtype}_macs_per_cycle")
    return 2 * macs * chip.processing_elements * chip.clock_hz / 1e12


def chip_row(chip: chips.Chip) -> str:
    cells = [f"`{chip.name}`"]
    for form, value, fields in CHIP_COLUMNS.values():
        number = value(chip)
        # As assumed as the most assumed of what it is made of; what is lacking needs no mark.
        kinds = {chip.sources[field].kind for field in fields}
        mark = MARKS[max(kinds, key=chips.KINDS.index)] if number else ""
        cells.append(f"{number:{form}}{mark}" if number else "-")
    kinds = [source.kind for source in chip.sources.values()]
    cells.append(" / ".join(str(kinds.count(kind)) for kind in chips.KINDS))
    return f"| {' | '.join(cells)} |"


def chips_document() -> str:
    """The main figures of all chips, what fields mean on each kind of chip, the fields, the sources."""
    lines = [*CHIPS_HEAD.splitlines(), ""]
    lines.append(f"| Chip | {' | '.join(CHIP_COLUMNS)} | published / derived / assumed |")
    lines.append("|---" * (len(CHIP_COLUMNS) + 2) + "|")
    lines += [chip_row(chips.load(name)) for name in chips.names()]
    lines += ["", *CHIP_FILES.splitlines(), ""]
    lines += [f"| {' | '.join(KINDS_OF_CHIP)} |", "|---" * len(KINDS_OF_CHIP) + "|"]
    lines += [f"| {' | '.join(part)} |" for part in CHIP_PARTS]
    lines += ["", *CHIP_NOTES.splitlines(), "", "## Fields", ""]
    lines += ["| Table | Field | Unit | Range | Meaning |", "|---|---|---|---|---|"]
    group = None
    for field in chips.fields():
        unit = "" if field.unit == "1" else field.unit
        span = f"{field.minimum:.6g} to {field.maximum:.6g}"
        table = f"`[{field.group}]`" if field.group != group else ""
        group = field.group
        lines.append(f"| {table} | `{field.name}` | {unit} | {span} | {field.summary} |")
    lines += ["", "## Sources", "", "| Key | Source |", "|---|---|"]
    lines += [f"| {key} | {text} |" for key, text in chips.references().items()]
    return "\n".join(lines) + "\n"


UNITS = {
    "scalar": "scalar core",
    "vector": "vector core",
    "simd": "SIMD engine, with its tables",
    "dot": "dot product engine",
    "reduce": "reduction engine",
    "layout": "memory layout unit",
    "fabric": "fabric interface (DMA)",
    "control": "command processor",
}

ISA_HEAD = """\
# Tile instruction set

Made by `docs/generate.py` from `csrc/isa/instructions.def`, whose comments hold the rules that no row can say. The
opcode is the position in the table. `?` may be absent, `*` repeats to the end. An element-wise instruction whose
operands are all scalars runs on the scalar core, whatever its unit.
"""


def isa_document() -> str:
    """One table a unit, one row an instruction."""
    lines = ISA_HEAD.splitlines()
    for unit, name in UNITS.items():
        rows = [instruction for instruction in isa.instructions() if instruction.unit == unit]
        if not rows:
            continue
        lines += ["", f"## {name[0].upper()}{name[1:]}", ""]
        lines += [
            "| Opcode | Mnemonic | Results | Operands | Attributes | Form | Meaning |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            listed = (", ".join(map(operand, group)) for group in (row.results, row.operands, row.attributes))
            summary = row.summary.replace("|", "\\|")
            lines.append(f"| {row.opcode} | `{row.mnemonic}` | {' | '.join(listed)} | {row.form} | {summary} |")
    unknown = {instruction.unit for instruction in isa.instructions()} - set(UNITS)
    assert not unknown, f"docs/generate.py has no name for the units {unknown}"
    return "\n".join(lines) + "\n"


def operand(field: isa.Field) -> str:
    return field.name + ("?" if field.optional else "*" if field.repeats else "")


TRITON_HEAD = """\
# Triton operations

Made by `docs/generate.py` from the registry of `python/triton_mtia_sim/lowering`. What stands in no table is refused at
compile time with its name, the kernel's line and a remedy. Control flow (`scf.for`, `scf.while`, `scf.if`, `cf.br`,
`cf.cond_br`, `tt.call`, `tt.return`) is in `lowering/control_flow.py`, `lowering/linear.py` and `ir/inlining.py`.
"""


def triton_document() -> str:
    """One table a family file, one row a lowering."""
    # Imported here: triton is not needed for the other documents.
    from triton_mtia_sim.lowering import families
    from triton_mtia_sim.lowering.registry import EFFECTS, PURE

    lines = TRITON_HEAD.splitlines()
    for family in families.FAMILIES:
        rows: dict[str, list[str]] = {}
        for name, function in {**PURE, **EFFECTS}.items():
            if function.__module__ == family.__name__:
                summary = " ".join((function.__doc__ or "").split("\n\n")[0].split())
                rows.setdefault(summary, []).append(f"`{name}`")
        assert family.__doc__ is not None
        lines += ["", f"## {family.__name__.rsplit('.', 1)[-1]}", "", " ".join(family.__doc__.split()), ""]
        lines += ["| Operations | Lowering |", "|---|---|"]
        lines += [f"| {' '.join(names)} | {summary.replace('|', chr(92) + '|')} |" for summary, names in rows.items()]
    return "\n".join(lines) + "\n"


CHECKS_HEAD = """\
# Checked mode

Made by `docs/generate.py` from `csrc/emulator/checks/checks.def` and the kernels of `tests/checks/kernels`, which a
test runs: each is caught at the line marked `# found`, its mended twin is not.

`MTIA_SIM_CHECK=1` checks a whole program, a context a part of it:

```python
import torch

with torch.mtia_sim.check():  # on_finding="warn": warnings; json="findings.json": a file
    x = torch.randn(1000, device="mtia_sim")
    y = torch.relu(x)
assert torch.mtia_sim.findings() == []
```

An error is an exception at the next synchronising call, of the class in the catalogue; a warning, and with
`on_finding="warn"` an error too, is a `torch.mtia_sim.CheckWarning`. `MTIA_SIM_CHECK_ON_FINDING=warn` and
`MTIA_SIM_CHECK_JSON=path` say the same for a whole program, which then waits for its last work before it ends. The
device stays usable. Each finding names the kernel, the program or the role and PE, the instruction and its source line,
the line that launched it, the tensor by the kernel's name for it, the element, and what touched the memory before:
`torch.mtia_sim.findings()` returns them as dictionaries.

## What is known, and what is not

- **A tensor's own bounds** are the memory from its first to its last element by sizes and strides. An access is
  compared with the tensor whose pointer its address is computed from; where several pointers flow into one address, or
  none, with all tensors of the launch, and where a launch has bare addresses, with what is allocated. Reads between
  the rows of a view are no finding, since whoever loads whole rows and drops what is between does no harm; writes
  there are.
- **Contents**: one bit a byte says whether it was written since it was allocated. Copies move that bit; a load by a
  kernel, and a copy to the host, are uses. Memory from before checked mode began counts as written,
  and so does what an allocation has beyond 256 MiB.
- **Masked-off lanes** of a load without `other` hold a NaN of a pattern of its own, which arithmetic and conversions of
  float16, bfloat16, float32 and float64 carry on; a store of that pattern is a finding, a lane that is dropped is none.
  A maximum drops it unseen, and integers have no such pattern: they read as zero.
- **Pinned memory** belongs to an asynchronous copy from its submission until the host first waits for it, or for
  anything submitted later: the program may not write what the copy reads, nor read or write what it writes, whether
  or not the copy is done by then. Pinned memory that was allocated in checked mode lies on pages that the copy takes
  away from the program; the first access to them is the finding, with its line (where torch's threads share the work,
  that of the thread which runs Python), and goes on. A system call that is given such memory fails with EFAULT. Pages
  that a copy shares with other elements, and pinned memory from before checked mode, are compared when the host
  waits, which finds writes to what a copy reads.
- **SRAM** caches device memory and holds nothing of its own. What lies behind a tensor's last element, an
  allocation's padding or a neighbour, is out of its bounds; what a load of a C++ kernel leaves of a tile beyond the
  tensor is filled.
- **Programs** of a launch are unordered, whatever the PE they run on. Where they use atomics, each one tells others
  of what came before it and learns of what others told before, so that locks and flags order what they guard; atomics
  on different addresses count as one. Two atomics never race. A volatile load (`volatile=True`, or `.cv`) that reads
  what another program stored, atomically or not, orders what comes after it behind what that program did before the
  store; it is no race itself, in a loop that waits or outside of one. A flag that is read by plain loads is a race,
  even where the emulator's loop ends: a compiler may read it once.
- **Roles of C++ kernels**: a bit an element of local memory says whether it was written since its tile was made or
  its page reserved; a unit that reads an element that nothing wrote is a finding, a store only reads what it stores.
  Pages that one role hands to another order the two, in all that they share. Barriers alone order memory between PEs:
  multicasts, reduction chains and draws do not wait for stores.
- **Missing waits** for the DMA of a tile cannot be written down: a tile has no address, and each call that reads or
  writes one starts when the DMA into it or out of it is done, however long that takes
  (tests/checks/test_delayed_dma.py makes it take a thousand times as long). What has to be waited for is what DMA
  leaves in device memory: for the checks, a store is under way until a barrier of its role, whatever chip time says
  (`load_overtakes_store`; `race_between_programs` for loads of other PEs), a copy to or from the host until the host
  waits (`race_with_host`). The last 256 stores of a PE are remembered.
- **Order**: `check(seed=7)`, or `MTIA_SIM_CHECK_SEED=7`, runs roles and PEs of C++ kernels, and the programs of
  Triton kernels whose atomics make their order matter (without a `while`, in which programs may wait for each other),
  in a random order that the chip could take; with one host thread (`MTIA_SIM_THREADS=1`) the same one each time.
- **Streams** are ordered by events, by `wait_stream` and by the host's waiting. A page of 4 KiB remembers the last
  command that touched it and one before that nothing orders with it; older ones are forgotten.
- **Freed memory** is given to nobody else until 64 MiB were freed after it.
- Shadow memory is 1/8 of the device memory that was touched for its contents, and 3/8 for who touched it (twice that
  where streams overlap). Records of a launch are bounded; past the bound it is compared less, never reported wrongly.
- **A launch that fails** is one error: what it did not come to write counts as written.

Checks marked "always" need no checked mode: the emulator refuses what they name whenever it meets it.

`make test-checked` runs this project's tests under `MTIA_SIM_CHECK=1`. A test that leaves a finding there, be it a
warning, fails; `finds` marks those that make findings on purpose, `unchecked(reason=...)` those that cannot hold in
checked mode. `tests/examples/test_checked_llama.py` trains with and without checked mode and compares the losses bit by
bit; `tests/checks/test_bounded_memory.py` holds the process to its size over 500 steps.

## Catalogue
"""


def checks_document() -> str:
    """One section a check: its row and the kernel that triggers it."""
    lines = CHECKS_HEAD.splitlines()
    for check in checks.checks():
        kernel = DOCUMENTS.parent / "tests" / "checks" / "kernels" / f"{check.name}.py"
        source = kernel.read_text()
        described, code = source.removeprefix('"""').split('"""\n', 1)
        raised = "A warning" if check.severity == "warning" else f"`{check.category}`"
        raised += ", always" if check.severity == "always" else ""
        lines += [
            "",
            f"### {check.name}",
            "",
            f"{check.what[0].upper()}{check.what[1:]}. {raised}: {check.remedy}.",
            "",
        ]
        lines += [" ".join(described.split()), ""]
        if kernel.with_suffix(".cpp").exists():
            of_roles = kernel.with_suffix(".cpp").read_text().split("#include", 1)[1]
            lines += ["```cpp", *f"#include{of_roles}".strip().splitlines(), "```", ""]
        lines += ["```py", *code.strip().splitlines(), "```"]
    return "\n".join(lines) + "\n"


GENERATED: dict[str, Callable[[], str]] = {
    "checks.md": checks_document,
    "chips.md": chips_document,
    "isa.md": isa_document,
    "triton.md": triton_document,
}


if __name__ == "__main__":
    for name, make in GENERATED.items():
        (DOCUMENTS / name).write_text(make())
        print(f"wrote docs/{name}")
