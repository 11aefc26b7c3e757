"""Loops, branches and early returns: carried registers on demand, then one linear list with structure markers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtia_core.dtypes import DType
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.machine import Bucket, Code, Register, Shape

if TYPE_CHECKING:
    from triton_mtia_sim.lowering.kernel import KernelLowering


class Carried:
    """A register that control flow assigns: `sources` come in from each way into it."""

    __slots__ = ("final", "register", "sources")

    def __init__(self, register: Register, final: Register, ways: int) -> None:
        self.register = register
        self.final = final
        self.sources: list[Register | None] = [None] * ways


class ControlFlow:
    """Carried registers of every structured operation and block of a kernel."""

    def __init__(self, kernel: "KernelLowering") -> None:
        self.kernel = kernel
        self.carried: dict[Operation | Block, dict[object, Carried]] = {}
        self.indices: dict[Operation, Register] = {}
        self.returned = False

    # ---- registers on demand
    def argument(self, value: Value) -> Register:
        """Register of a block argument."""
        block = value.block
        assert block is not None
        owner = block.owner
        if owner.name == "scf.for":
            if value.index == 0:
                return self.loop_index(owner)
            carried = self._loop(owner, value.index - 1, value)
        elif owner.name == "scf.while" and block is owner.regions[0].block:
            carried = self._while_before(owner, value.index, value)
        elif owner.name == "scf.while":
            carried = self._while_after(owner, value.index)
        elif owner.name == "tt.func":
            carried = self._block_argument(block, value)
        else:
            raise UnsupportedOperation(owner.name, owner.location, "its region cannot be read", "use for, while or if")
        self.kernel.registers[value] = carried.register
        return carried.register

    def result(self, value: Value) -> Register:
        """Register of a result of for, while or if."""
        operation = value.operation
        assert operation is not None
        if operation.name == "scf.for":
            inner = operation.regions[0].block.arguments[value.index + 1]
            self.kernel.data(inner)
            carried = self._loop(operation, value.index, inner)
        elif operation.name == "scf.while":
            carried = self._while_after(operation, value.index)
        elif operation.name == "scf.if":
            carried = self._branch(operation, value.index)
        else:
            raise UnsupportedOperation(operation.name, operation.location, "has no result", "report this kernel")
        self.kernel.registers[value] = carried.final
        return carried.final

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

    def carry_scalar(self, loop: Operation, key: object) -> Carried:
        """A carried I64 scalar that the address analysis adds to a for loop; the caller fills its sources."""
        return self._carried(loop, key, DType.I64, (), self.kernel.start[loop.regions[0].block], 2)

    def forget(self, loop: Operation, key: object) -> None:
        """Takes a carried scalar back."""
        del self.carried[loop][key]

    def _carried(
        self, owner: Operation | Block, key: object, dtype: DType, shape: Shape, home: Bucket, ways: int
    ) -> Carried:
        register = Register(dtype, shape, home)
        final = Register(dtype, shape, self.kernel.after[owner]) if isinstance(owner, Operation) else register
        final.root = register
        carried = Carried(register, final, ways)
        self.carried.setdefault(owner, {})[key] = carried
        return carried

    def _fill(self, carried: Carried, way: int, value: Value, bucket: Bucket) -> None:
        def fill() -> None:
            source = self.kernel.data(value)
            if source.shape != carried.register.shape and not source.is_scalar:
                wide = Register(source.dtype, carried.register.shape, bucket)
                self.kernel.builder.emit(bucket, "copy", [wide], [source])
                source = wide
            carried.sources[way] = source

        self.kernel.later(fill)

    def _typed(self, owner: Operation | Block, key: int, value: Value, home: Bucket, ways: int) -> Carried:
        operation = owner if isinstance(owner, Operation) else owner.owner
        return self._carried(owner, key, self.kernel.dtype_of(value.type, operation), shape_of(value.type), home, ways)

    def _loop(self, loop: Operation, index: int, value: Value) -> Carried:
        known = self.carried.get(loop, {}).get(index)
        if known is None:
            block = loop.regions[0].block
            known = self._typed(loop, index, value, self.kernel.start[block], 2)
            self._fill(known, 0, loop.operands[3 + index], self.kernel.before[loop])
            self._fill(known, 1, block.terminator.operands[index], self.kernel.before[block.terminator])
        return known

    def _while_before(self, loop: Operation, index: int, value: Value) -> Carried:
        known = self.carried.get(loop.regions[0].block, {}).get(index)
        if known is None:
            before, after = loop.regions[0].block, loop.regions[1].block
            known = self._typed(before, index, value, self.kernel.start[before], 2)
            self._fill(known, 0, loop.operands[index], self.kernel.before[loop])
            self._fill(known, 1, after.terminator.operands[index], self.kernel.before[after.terminator])
        return known

    def _while_after(self, loop: Operation, index: int) -> Carried:
        known = self.carried.get(loop, {}).get(index)
        if known is None:
            before, after = loop.regions[0].block, loop.regions[1].block
            source = before.terminator.operands[1 + index]
            # Written before the test, read behind it and after the loop.
            known = self._typed(loop, index, source, self.kernel.start[after], 1)
            self._fill(known, 0, source, self.kernel.before[before.terminator])
        return known

    def _branch(self, operation: Operation, index: int) -> Carried:
        known = self.carried.get(operation, {}).get(index)
        if known is None:
            known = self._typed(operation, index, operation.results[index], self.kernel.after[operation], 2)
            for way, region in enumerate(operation.regions):
                terminator = region.block.terminator
                self._fill(known, way, terminator.operands[index], self.kernel.before[terminator])
        return known

    def _block_argument(self, block: Block, value: Value) -> Carried:
        known = self.carried.get(block, {}).get(value.index)
        if known is None:
            edges = list(edges_into(block))
            known = self._typed(block, value.index, value, self.kernel.start[block], len(edges))
            for way, (branch, operands) in enumerate(edges):
                self._fill(known, way, operands[value.index], self.kernel.before[branch])
        return known

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
