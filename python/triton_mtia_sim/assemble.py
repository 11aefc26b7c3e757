"""From lowered code to a tile program: dead code out, storage shared and placed, registers numbered, encoded."""

from collections.abc import Callable

from mtia_core.program import Argument, Instruction, Location, Slot, TileProgram, Value, ValueKind, ValueName
from triton_mtia_sim.analysis.placement import Group, Sharing, pack
from triton_mtia_sim.analysis.structure import remove_dead
from triton_mtia_sim.errors import OutOfLocalMemory
from triton_mtia_sim.ir.operations import UNKNOWN_LOCATION, SourceLocation, base_name
from triton_mtia_sim.lowering.kernel import KernelLowering
from triton_mtia_sim.lowering.linear import linearise
from triton_mtia_sim.lowering.ranks import legal_ranks
from triton_mtia_sim.strips.splitting import Strips, split
from triton_mtia_sim.tiles.machine import Code, Register

# With 4 times as many strips a quarter of what shrinks is left: a third of the last step is the most that is to gain.
_STRIP_COUNTS = (4, 16, 64)

Watcher = Callable[[KernelLowering, Sharing, list[Group]], None]


def assemble(
    kernel: KernelLowering,
    name: str,
    local_memory_bytes: int,
    chip: str,
    watch: Watcher | None = None,
    strips: Strips | None = None,
) -> TileProgram:
    """Makes the program, of `strips` where given, else of whole tiles or, where they do not fit, of strips.

    Raises OutOfLocalMemory where nothing fits.
    """
    code = legal_ranks(remove_dead(linearise(kernel)))
    placing = _Placing(kernel, code, local_memory_bytes)
    if strips is not None:
        placing.cut(strips)
    elif placing.used > local_memory_bytes:
        placing.cut_as_needed()
    sharing, groups = placing.sharing, placing.groups
    if placing.used > local_memory_bytes:
        where = _largest(sharing, groups, name)
        raise OutOfLocalMemory(placing.used, local_memory_bytes, "local memory", where, chip)
    program = _Writer(kernel, sharing, groups, name).program
    if watch is not None:
        watch(kernel, sharing, groups)
    return program


class _Placing:
    """Places a program's tiles: whole where they fit, else in strips, rather in small ones than with repeated loads."""

    def __init__(self, kernel: KernelLowering, code: list[Code], limit: int) -> None:
        self.kernel = kernel
        self.code = code
        self.limit = limit
        self.arguments = [argument.register for argument in kernel.arguments]
        self.sharing = Sharing(code, self.arguments)
        self.groups, self.used = _place(self.sharing, limit)

    def cut(self, strips: Strips) -> int | None:
        """Takes strips where those fit; returns the bytes that they need, None where there is nothing to cut."""
        made = split(self.code, strips, self.kernel.builder.entry, self.kernel.string)
        if made is None:
            return None
        sharing = Sharing(remove_dead(made.code), self.arguments, made.origins, strips.count)
        groups, used = _place(sharing, self.limit)
        if used <= self.limit:
            self.sharing, self.groups, self.used = sharing, groups, used
        return used

    def cut_as_needed(self) -> None:
        """Tries fewer and fewer bytes; a part of them does not shrink with the strips, and ends the search."""
        for reload in (False, True):
            needs: list[int] = []
            for count in _STRIP_COUNTS:
                if len(needs) == 2 and needs[1] - (needs[0] - needs[1]) / 3 > self.limit:
                    break
                used = self.cut(Strips(count, reload))
                if used is None or used <= self.limit:
                    return
                needs.append(used)


def _place(sharing: Sharing, limit: int) -> tuple[list[Group], int]:
    """The places, and the bytes that they take, which may be more than the limit."""
    groups = list({id(group): group for group in sharing.groups.values() if group.bytes}.values())
    if not groups:
        return groups, 0
    rotating = sharing.mark_buffers()
    used = pack(groups)
    while used > limit and any(group.buffers > 1 for group in rotating):
        deepest = max(group.buffers for group in rotating)
        for group in rotating:
            group.buffers = min(group.buffers, deepest - 1)
        used = pack(groups)
    loops = sharing.pipelined()
    if loops and used <= limit:
        used = _spread(groups, used, limit, [[(1 << (2 * len(sharing.code) + 2)) - 1], loops])
    return groups, used


def _spread(groups: list[Group], used: int, limit: int, choices: list[list[int]]) -> int:
    """Takes the first of the choices of spans without sharing (see pack) that costs no program running side by side."""
    tight = [group.offset for group in groups]
    for spans in choices:
        spread = pack(groups, spans)
        if _side_by_side(spread, limit) == _side_by_side(used, limit):
            return spread
    for group, offset in zip(groups, tight, strict=True):
        group.offset = offset
    return used


def _side_by_side(used: int, limit: int) -> int:
    """Programs of one PE that overlap, as csrc/emulator/pe/command_processor/decoder.cpp has it."""
    return min(4, limit // used)


def _largest(sharing: Sharing, groups: list[Group], name: str) -> str:
    """Where the largest tile is made."""
    largest = max(groups, key=lambda group: group.bytes * group.buffers)
    for item in sharing.code:
        known = item.location is not UNKNOWN_LOCATION
        if known and any(result is not None and sharing.groups.get(result.root) is largest for result in item.results):
            return f"{item.location} ({name})"
    return name


class _Writer:
    """Numbers slots, values and locations."""

    def __init__(self, kernel: KernelLowering, sharing: Sharing, groups: list[Group], name: str) -> None:
        self.sharing = sharing
        self.program = TileProgram(name, strings=list(kernel.strings))
        self.values: dict[tuple[object, ...], int] = {}
        self.locations: dict[SourceLocation, int] = {}
        for number, group in enumerate(sorted(groups, key=lambda group: (group.offset, group.bytes))):
            group.slot = number
            self.program.slots.append(Slot(group.offset, group.bytes, group.buffers))
        code = sharing.without_moves()
        for argument in kernel.arguments:
            register = argument.register
            number = self.value(register)
            self.program.arguments.append(Argument(argument.name, argument.is_pointer, register.dtype, number))
        self.program.instructions = [self.instruction(item) for item in code]
        self.program.names = self.names(kernel, code)

    def value(self, register: Register) -> int:
        """Number of a register; views and members of a group that look alike share one."""
        key = self.key(register)
        if key not in self.values:
            if register.is_constant:
                made = Value(ValueKind.CONSTANT, register.dtype, bits=_unsigned(register))
            elif register.is_scalar:
                made = Value(ValueKind.SCALAR, register.dtype)
            else:
                made = Value(ValueKind.TILE, register.dtype, register.shape, self.sharing.group(register).slot)
            self.values[key] = len(self.program.values)
            self.program.values.append(made)
        return self.values[key]

    def key(self, register: Register) -> tuple[object, ...]:
        """What registers that are one value have in common."""
        if register.is_constant:
            return "constant", register.dtype, register.bits
        if register.is_scalar:
            group = self.sharing.groups.get(register.root)
            return "scalar", id(group) if group is not None else id(register), register.dtype
        return "tile", self.sharing.group(register).slot, register.dtype, register.shape

    def optional(self, register: Register | None) -> int | None:
        return None if register is None else self.value(register)

    def location(self, location: SourceLocation) -> int | None:
        if location is UNKNOWN_LOCATION:
            return None
        if location not in self.locations:
            self.locations[location] = len(self.program.locations)
            self.program.locations.append(Location(location.file, location.line, location.column))
        return self.locations[location]

    def names(self, kernel: KernelLowering, code: list[Code]) -> list[ValueName]:
        """What the kernel's source calls the results of each instruction, and those views of them that are values."""
        named: dict[Register, list[tuple[str, Register]]] = {}
        for value, register in kernel.registers.items():
            name = base_name(value.name)
            if name and not register.is_constant:
                named.setdefault(register.root, []).append((name, register))
        return [
            ValueName(position, self.value(register), name)
            for position, item in enumerate(code)
            for result in item.results
            if result is not None
            for name, register in named.get(result.root, ())
            if self.key(register) in self.values
        ]

    def instruction(self, item: Code) -> Instruction:
        return Instruction(
            item.mnemonic,
            tuple(self.optional(result) for result in item.results),
            tuple(self.optional(operand) for operand in item.operands),
            tuple(int(attribute) for attribute in item.attributes),
            self.location(item.location),
        )


def _unsigned(register: Register) -> int:
    assert register.bits is not None
    return register.bits & (2**64 - 1) if register.dtype.is_integer else register.bits
