"""Makes the report of a kernel while it is compiled, or from the TTIR that Triton keeps of a compiled one."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from mtia_core import chips
from mtia_core.chips import Chip
from triton_mtia_sim.analysis.placement import Group, Sharing
from triton_mtia_sim.explain.reasons import Names, why_indexed, why_structured
from triton_mtia_sim.explain.report import AccessReport, KernelReport, TileReport
from triton_mtia_sim.ir.operations import Operation, base_name
from triton_mtia_sim.ir.types import DescriptorType, PointerType, ScalarType, element_of, shape_of
from triton_mtia_sim.lowering.kernel import KernelLowering
from triton_mtia_sim.moved_sources import relocate_text, source_of
from triton_mtia_sim.tiles.machine import Register
from triton_mtia_sim.translate import translate


def explain_text(text: str, chip: Chip, num_stages: int = 2) -> KernelReport:
    """The report of a kernel's TTIR in generic form; raises what translate raises."""
    found: list[tuple[KernelLowering, Sharing, list[Group]]] = []
    program = translate(
        text, chip, num_stages, watch=lambda kernel, sharing, groups: found.append((kernel, sharing, groups))
    )
    kernel, sharing, groups = found[0]
    accesses, tiles = _accesses(kernel), _tiles(kernel, sharing, groups)
    return KernelReport(
        program.name, chip.name, chip.local_memory_bytes, accesses, tiles, program, strips=sharing.strips
    )


def explain_compiled(compiled: Any) -> KernelReport:
    """The report of a triton.compiler.CompiledKernel of this backend."""
    metadata = compiled.metadata
    return explain_text(generic_ttir(compiled), chips.load(metadata.arch), metadata.num_stages)


def generic_ttir(compiled: Any) -> str:
    """The optimised TTIR of a compiled kernel in MLIR's generic form."""
    from triton_mtia_sim.ttir import read_ttir

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ttir"
        path.write_text(relocate_text(compiled.asm["ttir"], source_of(compiled.src)))
        return read_ttir(path)


def print_report(text: str, chip: Chip, num_stages: int) -> None:
    """What MTIA_SIM_EXPLAIN=1 does for each kernel that is compiled."""
    print(explain_text(text, chip, num_stages), file=sys.stderr)


def _accesses(kernel: KernelLowering) -> tuple[AccessReport, ...]:
    names = Names(kernel)
    result = []
    for operation, way in kernel.accesses.items():
        pointer = operation.operands[0].type
        element = element_of(pointer)
        dtype = kernel.dtype_of(element.pointee).text if isinstance(element, PointerType) else "block"
        tile = "x".join([*map(str, shape_of(pointer)), dtype])
        structured = way is not None and way.is_structured
        why = why_structured(names, way) if way is not None and structured else why_indexed(kernel, operation)
        if way is not None and way.row_bound is not None:
            why += f", an address for each row of {shape_of(pointer)[-1]}"
        result.append(AccessReport(operation.name.removeprefix("tt."), operation.location, tile, structured, why))
    for operation in kernel.before:
        if operation.name.startswith("tt.descriptor_"):
            result.append(_descriptor(operation))
    return tuple(sorted(result, key=lambda item: (item.location.file, item.location.line, item.location.column)))


def _descriptor(operation: Operation) -> AccessReport:
    """Blocks of a tensor descriptor are descriptors already; only rows picked by an index are not."""
    structured = operation.name in ("tt.descriptor_load", "tt.descriptor_store")
    block = next(value.type for value in operation.operands if isinstance(value.type, DescriptorType)).block
    dtype = block.element.dtype.text if isinstance(block.element, ScalarType) else "block"
    tile = "x".join([*map(str, block.shape), dtype])
    why = "a tensor descriptor" if structured else "a tensor descriptor, an address for each element"
    return AccessReport(operation.name.removeprefix("tt."), operation.location, tile, structured, why)


def _tiles(kernel: KernelLowering, sharing: Sharing, groups: list[Group]) -> tuple[TileReport, ...]:
    names: dict[Register, str] = {}
    for value, register in kernel.registers.items():
        name = base_name(value.name)
        if name:
            names.setdefault(register.root, name)
    kept = {id(item) for item in sharing.without_moves()}
    numbers = []
    count = 0
    for item in sharing.code:
        numbers.append(count)
        count += id(item) in kept
    return tuple(
        _tile(group, names, numbers, sharing) for group in sorted(groups, key=lambda group: (group.offset, group.slot))
    )


def _tile(group: Group, names: dict[Register, str], numbers: list[int], sharing: Sharing) -> TileReport:
    code, origins = sharing.code, sharing.origins
    points = group.live | group.written
    first, last = (points & -points).bit_length() - 1, points.bit_length() - 1
    largest = max(group.members, key=lambda member: member.bytes)
    members = [origins.get(member, member) for member in group.members]
    named = dict.fromkeys(names[member] for member in members if member in names)
    codes = [member.definition for member in members if member.definition is not None]
    made = dict.fromkeys(f"result of {item.mnemonic}" for item in codes)
    located = code[min(first // 2, len(code) - 1)].location
    shape = "x".join([*map(str, largest.shape), largest.dtype.text])
    return TileReport(
        tuple(named or made or ("carried",)),
        located,
        shape,
        group.bytes,
        group.buffers,
        group.offset,
        numbers[min(first // 2, len(numbers) - 1)],
        numbers[min(last // 2, len(numbers) - 1)],
    )
