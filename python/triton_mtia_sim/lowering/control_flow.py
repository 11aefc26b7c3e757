"""Loops, branches and early returns: carried registers on demand, then one linear list with structure markers."""

from collections.abc import Callable, Iterator

from mtia_core.dtypes import DType
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.state import KernelState
from triton_mtia_sim.tiles.carried import Carried, Ways
from triton_mtia_sim.tiles.machine import Bucket, Code, Register, Shape


class ControlFlow:
    """Carried registers of every structured operation and block of a kernel."""

    def __init__(self, kernel: KernelState) -> None:
        self.kernel = kernel
        self.carried: dict[Operation | Block, dict[object, Carried]] = {}
        self.indices: dict[Operation, Register] = {}
        self.returned = False

    # ---- registers on demand
    def argument(self, value: Value) -> Register:
        """Register of a block argument."""
        assert value.block is not None
        if value.block.owner.name == "scf.for" and value.index == 0:
            return self.loop_index(value.block.owner)
        register = self.carried_data(value).register
        self.kernel.registers[value] = register
        return register

    def result(self, value: Value) -> Register:
        """Register of a result of for, while or if."""
        final = self.carried_data(value).final
        self.kernel.registers[value] = final
        return final

    def carried_data(self, value: Value) -> Carried:
        """What carries a value as data."""
        way = self.ways(value)
        dtype = self.kernel.dtype_of(value.type, way.operation)
        return self._carry(way, way.index, dtype, shape_of(value.type), self.kernel.data)

    def carried_part(self, value: Value, part: int, dtype: DType, read: Callable[[Value], Register]) -> Register:
        """A scalar that is part of a value which is no data itself; `read` finds the part in what comes in."""
        way = self.ways(value)
        carried = self._carry(way, (way.index, part), dtype, (), read)
        return carried.register if value.operation is None else carried.final

    def ways(self, value: Value) -> Ways:
        """How control brings in an argument of a block, or a result of for, while or if."""
        kernel = self.kernel
        block, operation = value.block, value.operation
        owner = block.owner if block is not None else operation
        assert owner is not None
        index = value.index
        if owner.name == "scf.for":
            index -= block is not None
            body = owner.regions[0].block
            last = body.terminator
            initial = (owner.operands[3 + index], kernel.before[owner])
            return Ways(owner, index, kernel.start[body], (initial, (last.operands[index], kernel.before[last])))
        if owner.name == "scf.while":
            before, after = owner.regions[0].block, owner.regions[1].block
            if block is before:
                last = after.terminator
                initial = (owner.operands[index], kernel.before[owner])
                return Ways(before, index, kernel.start[before], (initial, (last.operands[index], kernel.before[last])))
            # Written before the test, read behind it and after the loop.
            test = before.terminator
            return Ways(owner, index, kernel.start[after], ((test.operands[1 + index], kernel.before[test]),))
        if owner.name == "scf.if":
            ends = [region.block.terminator for region in owner.regions]
            sources = tuple((end.operands[index], kernel.before[end]) for end in ends)
            return Ways(owner, index, kernel.after[owner], sources)
        if owner.name == "tt.func" and block is not None:
            edges = tuple((operands[index], kernel.before[branch]) for branch, operands in edges_into(block))
            return Ways(block, index, kernel.start[block], edges)
        raise UnsupportedOperation(owner.name, owner.location, "its region cannot be read", "use for, while or if")

    def demand_condition(self, operation: Operation) -> None:
        """Makes sure that what decides the way of control is computed, whatever else is wanted."""
        if operation.name == "scf.for":
            self.loop_index(operation)
        elif operation.name in ("scf.if", "scf.condition", "cf.cond_br"):
            self.kernel.data(operation.operands[0])

    def loop_index(self, loop: Operation) -> Register:
        """The register that counts a for loop."""
        if loop not in self.indices:
            kernel = self.kernel
            value = loop.regions[0].block.arguments[0]
            low, high, step = (kernel.data(operand) for operand in loop.operands[:3])
            register = Register(kernel.dtype_of(value.type, loop), (), kernel.start[loop.regions[0].block])
            attribute = loop.attributes.get("tt.num_stages", kernel.options.num_stages)
            register.definition = Code("for_begin", [register], [low, high, step], (attribute,), loop.location)
            self.indices[loop] = register
            kernel.registers[value] = register
        return self.indices[loop]

    def carry_scalar(self, way: Ways, key: object) -> Carried:
        """A carried I64 scalar that the address analysis adds; the caller fills its sources."""
        return self._carried(way.owner, key, DType.I64, (), way.home, len(way.sources))

    def forget(self, way: Ways, key: object) -> None:
        """Takes a carried scalar back."""
        self.carried[way.owner].pop(key, None)

    def _carried(
        self, owner: Operation | Block, key: object, dtype: DType, shape: Shape, home: Bucket, ways: int
    ) -> Carried:
        register = Register(dtype, shape, home)
        final = Register(dtype, shape, self.kernel.after[owner]) if isinstance(owner, Operation) else register
        final.root = register
        carried = Carried(register, final, ways)
        self.carried.setdefault(owner, {})[key] = carried
        return carried

    def _carry(self, way: Ways, key: object, dtype: DType, shape: Shape, read: Callable[[Value], Register]) -> Carried:
        known = self.carried.get(way.owner, {}).get(key)
        if known is None:
            known = self._carried(way.owner, key, dtype, shape, way.home, len(way.sources))
            for number, (value, bucket) in enumerate(way.sources):
                self._fill(known, number, value, bucket, read)
        return known

    def _fill(
        self, carried: Carried, way: int, value: Value, bucket: Bucket, read: Callable[[Value], Register]
    ) -> None:
        def fill() -> None:
            source = read(value)
            if source.shape != carried.register.shape and not source.is_scalar:
                wide = Register(source.dtype, carried.register.shape, bucket)
                self.kernel.builder.emit(bucket, "copy", [wide], [source])
                source = wide
            carried.sources[way] = source

        self.kernel.later(fill)

    def of(self, owner: Operation | Block) -> list[Carried]:
        """Carried registers of an operation or block."""
        return list(self.carried.get(owner, {}).values())


def branch_edges(branch: Operation) -> list[tuple[Block, list[Value]]]:
    """Successors of a branch with the operands they get."""
    if branch.name == "cf.br":
        return [(branch.successors[0], branch.operands)]
    sizes = branch.attributes["operandSegmentSizes"]
    middle = sizes[0] + sizes[1]
    return [
        (branch.successors[0], branch.operands[sizes[0] : middle]),
        (branch.successors[1], branch.operands[middle:]),
    ]


def edges_into(block: Block) -> Iterator[tuple[Operation, list[Value]]]:
    """Branches that lead to a block, in layout order, with the operands they bring."""
    for other in block.owner.regions[0].blocks:
        terminator = other.terminator
        if terminator.name in ("cf.br", "cf.cond_br"):
            for successor, operands in branch_edges(terminator):
                if successor is block:
                    yield terminator, operands
