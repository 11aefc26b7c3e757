"""Puts the buckets of a lowered kernel in one list, with markers for structured control flow."""

from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation
from triton_mtia_sim.lowering.control_flow import branch_edges, edges_into
from triton_mtia_sim.lowering.site import LoweringState
from triton_mtia_sim.tiles.carried import Carried
from triton_mtia_sim.tiles.machine import Code, Register


def linearise(kernel: LoweringState) -> list[Code]:
    """All instructions of the kernel in order; dead ones included."""
    writer = _Writer(kernel)
    writer.code.extend(kernel.builder.entry.code)
    writer.code.extend(kernel.before[kernel.function].code)
    blocks = kernel.function.regions[0].blocks
    writer.blocks(blocks[0], None)
    return writer.code


class _Writer:
    def __init__(self, kernel: LoweringState) -> None:
        self.kernel = kernel
        self.control = kernel.control
        self.code: list[Code] = []
        self.written: set[Block] = set()
        self.depth = 0

    def mark(self, mnemonic: str, operation: Operation, operands: list[Register | None] | None = None) -> None:
        self.code.append(Code(mnemonic, [], list(operands or []), (), operation.location))

    def copy(self, result: Register, source: Register, operation: Operation) -> None:
        self.code.append(Code("copy", [result], [source], (), operation.location))

    def assign(self, carried: list[Carried], way: int, operation: Operation) -> None:
        """Assigns all carried registers at once: a source that is itself assigned earlier goes through a temporary."""
        live = [(item.register, item.sources[way]) for item in carried]
        pairs = [
            (register, source) for register, source in live if source is not None and source.root is not register.root
        ]
        assigned = {id(register.root) for register, _ in pairs}
        safe: list[tuple[Register, Register]] = []
        for register, source in pairs:
            if id(source.root) in assigned and len(pairs) > 1:
                temporary = Register(source.dtype, source.shape, source.home)
                self.copy(temporary, source, operation)
                source = temporary
            safe.append((register, source))
        for register, source in safe:
            self.copy(register, source, operation)

    # ---- structured operations
    def operations(self, block: Block) -> None:
        """Everything of a block except a terminator's transfer of control."""
        self.code.extend(self.kernel.start[block].code)
        for operation in block.operations:
            self.code.extend(self.kernel.before[operation].code)
            if operation.name == "scf.for":
                self.for_loop(operation)
            elif operation.name == "scf.while":
                self.while_loop(operation)
            elif operation.name == "scf.if":
                self.branch(operation)
            if operation.regions:
                self.code.extend(self.kernel.after[operation].code)

    def for_loop(self, operation: Operation) -> None:
        carried = self.control.of(operation)
        body = operation.regions[0].block
        self.assign(carried, 0, operation)
        definition = self.control.loop_index(operation).definition
        assert definition is not None
        self.code.append(definition)
        self.operations(body)
        self.assign(carried, 1, body.terminator)
        self.mark("end", operation)

    def while_loop(self, operation: Operation) -> None:
        before, after = operation.regions[0].block, operation.regions[1].block
        self.assign(self.control.of(before), 0, operation)
        self.mark("while_begin", operation)
        self.operations(before)
        self.assign(self.control.of(operation), 0, before.terminator)
        self.mark("while_test", operation, [self.kernel.data(before.terminator.operands[0])])
        self.operations(after)
        self.assign(self.control.of(before), 1, after.terminator)
        self.mark("end", operation)

    def branch(self, operation: Operation) -> None:
        carried = self.control.of(operation)
        self.mark("if_begin", operation, [self.kernel.data(operation.operands[0])])
        for way, region in enumerate(operation.regions):
            if not region.blocks:
                continue
            if way == 1:
                self.mark("else_begin", operation)
            self.operations(region.block)
            self.assign(carried, way, region.block.terminator)
        self.mark("end", operation)

    # ---- blocks of the function, which form no loops
    def blocks(self, block: Block, stop: Block | None) -> None:
        """Writes from `block` until control reaches `stop` or returns."""
        current: Block | None = block
        while current is not None and current is not stop:
            if current in self.written:
                operation = current.operations[0]
                raise UnsupportedOperation(
                    "cf.br", operation.location, "branches that no if and else can express", "return at one place"
                )
            self.written.add(current)
            self.operations(current)
            current = self.leave(current, stop)

    def leave(self, block: Block, stop: Block | None) -> Block | None:
        """Writes the transfer of control at a block's end; returns the block to go on with."""
        terminator = block.terminator
        if terminator.name == "cf.br":
            self.edge(terminator, 0)
            return terminator.successors[0]
        if terminator.name != "cf.cond_br":
            if self.depth:
                self.mark("return_", terminator)
            return None
        then, other = terminator.successors
        merge = self.merge(then, other, stop)
        self.mark("if_begin", terminator, [self.kernel.data(terminator.operands[0])])
        self.depth += 1
        self.edge(terminator, 0)
        self.blocks(then, merge)
        if other is not merge or self.control.of(other):
            self.mark("else_begin", terminator)
            self.edge(terminator, 1)
            self.blocks(other, merge)
        self.depth -= 1
        self.mark("end", terminator)
        return merge

    def edge(self, branch: Operation, way: int) -> None:
        target, _ = branch_edges(branch)[way]
        carried = self.control.of(target)
        if carried:
            earlier = [edge for edge, _ in edges_into(target)]
            number = earlier.index(branch)
            if way == 1 and branch.successors[0] is target:
                number += 1
            self.assign(carried, number, branch)

    def merge(self, then: Block, other: Block, stop: Block | None) -> Block | None:
        """First block in layout order that both ways reach; where one way only returns, the other way's block."""
        from_then, from_other = _reachable(then), _reachable(other)
        for block in then.owner.regions[0].blocks:
            if block in from_then and block in from_other:
                return block
        return then if stop is not None and stop in from_then else other


def _reachable(block: Block) -> set[Block]:
    found = {block}
    queue = [block]
    while queue:
        for successor in queue.pop().terminator.successors:
            if successor not in found:
                found.add(successor)
                queue.append(successor)
    return found
