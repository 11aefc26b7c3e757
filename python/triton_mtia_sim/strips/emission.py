"""Writes a segment's schedule as tile instructions on strips."""

from collections.abc import Callable

from triton_mtia_sim.strips.accumulators import Accumulators
from triton_mtia_sim.strips.aliasing import Check, Scalars, check_apart
from triton_mtia_sim.strips.roles import Cutting, Kind, cut_dimension, strip_shape
from triton_mtia_sim.strips.scans import Scans
from triton_mtia_sim.strips.schedule import Node, Schedule
from triton_mtia_sim.strips.writing import Writer
from triton_mtia_sim.tiles.machine import Bucket, Code, Register


class Emission(Writer):
    """The code of a whole program in strips."""

    def __init__(self, cutting: Cutting, home: Bucket, string: Callable[[str], int]) -> None:
        super().__init__(cutting.count, home)
        self.cutting = cutting
        self.string = string
        self.strips: dict[Register, list[Register]] = {}
        self.repeated: dict[tuple[int, Register], list[Register]] = {}
        self.accumulators = Accumulators(self)
        self.scans = Scans(self)

    def segment(self, schedule: Schedule) -> None:
        """Appends one straight line of the program."""
        self.repeated.clear()
        whole: dict[int, list[Node]] = {}
        for time, nodes in schedule.times.items():
            for node in nodes:
                if node.finishes or node.plan is None:
                    whole.setdefault(time + node.finishes, []).append(node)
        for time in sorted(schedule.times.keys() | whole.keys()):
            checks = schedule.checks.get(time, [])
            if time % 2:
                self._whole(sorted(whole[time], key=lambda node: node.index), checks)
                continue
            for check in checks:
                check_apart(self.code, check, self.home, self.string)
            for place in range(self.count):
                strip = self.count - 1 - place if schedule.descends(time) else place
                for node in schedule.times[time]:
                    self._strip(schedule, node, time, strip, place == 0)

    def _whole(self, nodes: list[Node], checks: list[Check]) -> None:
        for node in nodes:
            if node.plan is not None:
                self.accumulators.finish(node)
                continue
            for check in checks:
                if check.second is node.item:
                    check_apart(self.code, check, self.home, self.string)
            self.code.append(node.item)

    # ---- registers
    def _parts(self, root: Register) -> list[Register]:
        elements = root.elements // self.count
        return [self.fresh(root.dtype, (elements,), root) for _ in range(self.count)]

    def part(self, register: Register, time: int, strip: int) -> Register:
        """A strip of a register that is cut."""
        parts = self.repeated.get((time, register.root)) or self.strips.get(register.root)
        if parts is None:
            parts = self.strips[register.root] = self._parts(register.root)
        return self.view(parts[strip], strip_shape(register.shape, self.count), register.dtype)

    # ---- strips
    def _strip(self, schedule: Schedule, node: Node, time: int, strip: int, first: bool) -> None:
        item, plan = node.item, node.plan
        assert plan is not None
        cut = {id(register) for register in plan.cut}
        operands: list[Register | None] = []
        for operand in item.operands:
            if operand is None or id(operand) not in cut:
                operands.append(operand)
            elif self.cutting.cuts(operand):
                operands.append(self.part(operand, time, strip))
            else:
                operands.append(self._slice(item, operand, strip))
        if not plan.cuts_results:
            self.accumulators.add(node, operands, strip)
            return
        results: list[Register | None] = []
        for result in item.results:
            if result is None:
                results.append(None)
                continue
            if schedule.repeated.get((time, result.root)) is node and first:
                self.repeated[time, result.root] = self._parts(result.root)
            results.append(self.part(result, time, strip))
        if plan.kind is not Kind.STRIPS:
            source, result = operands[0], results[0]
            assert source is not None and result is not None
            self.scans.add(node, source, result, first)
            return
        attributes = item.attributes
        if item.mnemonic == "iota":
            assert item.results[0] is not None
            attributes = (attributes[0] + strip * (item.results[0].elements // self.count),)
        elif item.mnemonic in ("dma_load", "dma_store"):
            self._move(item, operands, strip)
        self.emit(item, item.mnemonic, results, operands, attributes)

    def _slice(self, item: Code, operand: Register, strip: int) -> Register:
        """A strip of a tile that is whole."""
        shape = strip_shape(operand.shape, self.count)
        result = self.fresh(operand.dtype, shape, operand)
        dimension = cut_dimension(operand.shape)
        self.emit(item, "slice", [result], [operand], (dimension, strip * shape[dimension], 1))
        return result

    def _move(self, item: Code, operands: list[Register | None], strip: int) -> None:
        """Moves a descriptor to a strip: its bounds and start along the cut dimension."""
        tile = item.results[0] if item.mnemonic == "dma_load" else item.operands[1]
        assert tile is not None
        dimension = cut_dimension(tile.shape)
        distance = strip * (tile.shape[dimension] // self.count)
        if distance == 0:
            return
        scalars = Scalars(self.code, item, self.home)
        zero, offset = scalars.integer(0), scalars.integer(distance)
        first = 3 + 5 * dimension
        for place in (first + 1, first + 2):
            edge = operands[place]
            if edge is not None:  # negative edges mean 0, and must not wrap around
                operands[place] = scalars.make("sub_i", [scalars.make("max_s", [edge, zero]), offset])
        start = operands[first + 3]
        operands[first + 3] = offset if start is None else scalars.make("add_i", [start, offset])
