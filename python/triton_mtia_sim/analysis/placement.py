"""Gives every tile a place in local memory: shares storage where contents never overlap in time, then packs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from triton_mtia_sim.analysis.liveness import Ranges
from triton_mtia_sim.analysis.structure import Construct
from triton_mtia_sim.tiles.machine import Code, Register

ALIGNMENT = 64
_STEP = 256  # points
_MOST_BUFFERS = 64  # of a slot, as the verifier has it


@dataclass
class Group:
    """Registers that share one place (tiles) or one number (scalars)."""

    bytes: int
    live: int
    written: int
    members: list[Register] = field(default_factory=list)
    buffers: int = 1
    loop: Construct | None = None
    slot: int = -1
    offset: int = -1

    @property
    def reach(self) -> int:
        """Points at which the place is taken: also the read before each write, unless a member is read there."""
        return self.live | self.written | (self.written >> 1)


class Sharing:
    """Groups of registers after coalescing copies and in-place results."""

    def __init__(
        self,
        code: list[Code],
        arguments: list[Register],
        origins: dict[Register, Register] | None = None,
        strips: int = 1,
    ) -> None:
        self.code = code
        self.origins = origins or {}  # of a strip: the tile that it is cut from
        self.strips = strips
        self.arguments = {argument.root for argument in arguments}  # registers that nothing may write
        self.ranges = Ranges(code)
        self.groups: dict[Register, Group] = {}
        for number, root in enumerate(self.ranges.roots):
            size = 0 if root.is_scalar else root.bytes
            group = Group(size, self.ranges.live[number], self.ranges.written[number], [root])
            self.groups[root] = group
        self._coalesce_copies()
        self._coalesce_in_place()

    def group(self, register: Register) -> Group:
        return self.groups[register.root]

    def merge(self, a: Register, b: Register) -> bool:
        """Puts two registers in one group unless their contents are needed at the same time."""
        first, second = self.group(a), self.group(b)
        if first is second:
            return True
        if a.root in self.arguments or b.root in self.arguments:
            return False
        if first.bytes != second.bytes or first.live & second.live:
            return False
        # What one writes while the other is live was excluded above; a dead write must not hit a live content either.
        if first.written & second.live or second.written & first.live:
            return False
        first.live |= second.live
        first.written |= second.written
        first.members.extend(second.members)
        for member in second.members:
            self.groups[member] = first
        return True

    def _depth(self, position: int) -> int:
        depth, construct = 0, self.ranges.around[position]
        while construct is not None:
            depth += 1
            construct = construct.parent
        return depth

    def _coalesce_copies(self) -> None:
        copies = [
            position
            for position, item in enumerate(self.code)
            if item.mnemonic == "copy" and not _constant(item.operands[0]) and _alike(item.results[0], item.operands[0])
        ]
        for position in sorted(copies, key=lambda place: (-self._depth(place), -place)):
            result, source = self.code[position].results[0], self.code[position].operands[0]
            assert result is not None and source is not None
            self.merge(result, source)

    def _coalesce_in_place(self) -> None:
        for position, item in enumerate(self.code):
            if len(item.results) != 1 or item.results[0] is None or item.results[0].is_scalar:
                continue
            result = item.results[0]
            if item.mnemonic.startswith(("dma_", "gather", "slice", "reduce", "permute", "iota")):
                continue
            write = 1 << (2 * position + 1)
            for operand in item.operands:
                if operand is None or operand.is_scalar or operand.bytes != result.bytes:
                    continue
                if not self.ranges.live[self.ranges.numbers[operand.root]] & write and self.merge(result, operand):
                    break

    def without_moves(self) -> list[Code]:
        """The instructions without copies that stay inside one group."""
        return [item for item in self.code if not self._is_move(item)]

    def _is_move(self, item: Code) -> bool:
        if item.mnemonic != "copy":
            return False
        result, source = item.results[0], item.operands[0]
        if result is None or source is None or not _alike(result, source) or source.is_constant:
            return False
        return self.group(result) is self.group(source)

    # ---- double buffers
    def mark_buffers(self) -> list[Group]:
        """Groups that may rotate: those that a load in a loop fills and only that iteration reads, and those that a
        product fills for the next iteration while this one still works on the last."""
        found = []
        for position, item in enumerate(self.code):
            load = item.mnemonic in ("dma_load", "gather", "gather_rows")
            product = item.mnemonic in ("dot", "dot_scaled") and item.operands[2] is None
            if not (load or product) or item.results[0] is None or item.results[0].is_scalar:
                continue
            loop = self._loop(position)
            group = self.group(item.results[0])
            if loop is None or group.loop is not None:
                continue
            inside = ((1 << (2 * (loop.end - loop.begin))) - 1) << (2 * loop.begin + 1)
            if product != self._crosses(group, loop) or (load and (group.live | group.written) & ~inside):
                continue
            group.loop = loop
            group.buffers = min(max(1, self.code[loop.begin].attributes[0]), _MOST_BUFFERS)
            if group.buffers > 1:
                found.append(group)
        return found

    def _loop(self, position: int) -> Construct | None:
        construct = self.ranges.around[position]
        while construct is not None and self.code[construct.begin].mnemonic == "if_begin":
            construct = construct.parent
        return construct if construct is not None and self.code[construct.begin].mnemonic == "for_begin" else None

    def _crosses(self, group: Group, loop: Construct) -> bool:
        """Whether the content survives from one iteration to the next."""
        return bool(group.live >> (2 * loop.end) & 1)

    def pipelined(self) -> list[int]:
        """The points of each outermost loop whose iterations may overlap."""
        return [
            ((1 << (2 * (loop.end - loop.begin) + 2)) - 1) << (2 * loop.begin)
            for loop in self.ranges.top
            if self.code[loop.begin].mnemonic == "for_begin" and self.code[loop.begin].attributes[0] > 1
        ]


def _constant(register: Register | None) -> bool:
    return register is None or register.is_constant


def _alike(a: Register | None, b: Register | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and a.dtype is b.dtype


def pack(groups: list[Group], spans: Sequence[int] = ()) -> int:
    """Gives every group an offset such that groups taken at the same time do not overlap; returns the bytes used.

    What is used anywhere in one of `spans`, sets of points, shares its bytes with nothing else there: an instruction
    then never waits for the readers of another value, of the iteration or program before.
    """
    taken = {id(group): _taken(group, spans) for group in groups}
    best: tuple[int, list[int]] | None = None
    orders = (
        sorted(groups, key=lambda group: -group.bytes * group.buffers),
        sorted(groups, key=lambda group: (_first(taken[id(group)]), -group.bytes)),
        sorted(groups, key=lambda group: -group.bytes * group.buffers * taken[id(group)].bit_count()),
    )
    for order in orders:
        used = _pack_in_order(order, taken)
        if best is None or used < best[0]:
            best = (used, [group.offset for group in groups])
    assert best is not None
    for group, offset in zip(groups, best[1], strict=True):
        group.offset = offset
    return best[0]


def _first(points: int) -> int:
    return (points & -points).bit_length()


def _taken(group: Group, spans: Sequence[int]) -> int:
    taken = group.reach
    if group.buffers > 1 and group.loop is not None:
        length = 2 * (group.loop.end - group.loop.begin) + 2
        taken |= ((1 << length) - 1) << (2 * group.loop.begin)
    for points in spans:
        if taken & points:
            taken |= points
    return taken


def _pack_in_order(order: list[Group], all_taken: dict[int, int]) -> int:
    # By time, in steps of points: a straight line of thousands of tiles meets few others at each step.
    placed: dict[int, list[tuple[int, int, int]]] = {}
    used = 0
    for group in order:
        taken = all_taken[id(group)]
        size = -(-group.bytes * group.buffers // ALIGNMENT) * ALIGNMENT
        steps = range(_first(taken) // _STEP, taken.bit_length() // _STEP + 1)
        met = {entry[:2] for step in steps for entry in placed.get(step, ()) if entry[2] & taken}
        offset = 0
        for start, stop in sorted(met):
            if start - offset >= size:
                break
            offset = max(offset, stop)
        group.offset = offset
        for step in steps:
            placed.setdefault(step, []).append((offset, offset + size, taken))
        used = max(used, offset + size)
    return used
