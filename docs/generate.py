"""Writes the documents that are made of tables: `python docs/generate.py` (held to it by a test)."""

from collections.abc import Callable
from pathlib import Path

from mtia_core import checks, chips, isa

DOCUMENTS = Path(__file__).resolve().parent
MARKS = {"published": "", "derived": " ᵈ", "assumed": " ᵃ"}


def number(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


CHIPS_HEAD = """\
# Chips

Made by `docs/generate.py` from `csrc/chip/chip_fields.def` and `python/mtia_core/chips`; the TOML files hold the source
of every number and the reason of every assumption. ᵈ derived, ᵃ assumed, unmarked published.

A file of your own, named by `MTIA_SIM_CHIP`, has the same tables. It may give a bare number for a field, and `base`
names a chip that supplies the fields it leaves out. A field out of its range is refused with its name, value and range.
"""


def chips_document() -> str:
    """One row a field and one column a chip."""
    specifications = [chips.load(name) for name in chips.names()]
    names = " | ".join(chip.name for chip in specifications)
    lines = CHIPS_HEAD.splitlines()
    group = None
    for field in chips.fields():
        if field.group != group:
            group = field.group
            lines += ["", f"## [{group}]", ""]
            lines.append(f"| Field | Unit | {names} | Range | Meaning |")
            lines.append("|---" * (len(specifications) + 4) + "|")
        cells = [number(chip.values[field.name]) + MARKS[chip.sources[field.name].kind] for chip in specifications]
        unit = "" if field.unit == "1" else field.unit
        span = f"{field.minimum:.6g} to {field.maximum:.6g}"
        lines.append(f"| `{field.name}` | {unit} | {' | '.join(cells)} | {span} | {field.summary} |")
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
