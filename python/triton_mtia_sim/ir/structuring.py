"""A function of several blocks, as an early return makes them, as one block of nested scf.if."""

from collections.abc import Mapping

from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Region, Value

# A block that several ways reach is written once for each of them; this many times in all.
_MOST_BLOCKS = 1024


def structure(function: Operation) -> None:
    """Rewrites the body of a function to one block that ends in its only tt.return.

    Branches of a function form no cycles. A cf.cond_br becomes an scf.if that yields what the function returns.
    """
    blocks = function.regions[0].blocks
    if len(blocks) == 1:
        return
    returns = next(block.terminator for block in blocks if block.terminator.name == "tt.return")
    writer = _Structuring(function, [value.type for value in returns.operands])
    whole = Block(blocks[0].label, function)
    whole.arguments = [Value(value.type, value.index, None, whole) for value in blocks[0].arguments]
    for old, new in zip(blocks[0].arguments, whole.arguments, strict=True):
        new.name = old.name
    values = dict(zip(blocks[0].arguments, whole.arguments, strict=True))
    results = writer.write(blocks[0], values, whole)
    append(whole, Operation("tt.return", results, {}, returns.location))
    function.regions[0] = Region([whole])


class _Structuring:
    def __init__(self, function: Operation, types: list[object]) -> None:
        self.function = function
        self.types = types
        self.written = 0

    def write(self, block: Block, values: dict[Value, Value], target: Block) -> list[Value]:
        """Appends a block and all that follows it to `target`; returns what the function returns there."""
        while True:
            self.written += 1
            if self.written > _MOST_BLOCKS:
                name = self.function.attributes["sym_name"]
                raise UnsupportedOperation(
                    "tt.call", self.function.location, f"{name} has too many ways to its returns", "return at one place"
                )
            for operation in block.operations[:-1]:
                target.operations.append(copy_operation(operation, values, target))
            terminator = block.terminator
            operands = [values.get(operand, operand) for operand in terminator.operands]
            if terminator.name == "tt.return":
                return operands
            if terminator.name == "cf.cond_br":
                return self.branch(terminator, operands, values, target)
            block = terminator.successors[0]
            values.update(zip(block.arguments, operands, strict=True))

    def branch(
        self, terminator: Operation, operands: list[Value], values: Mapping[Value, Value], target: Block
    ) -> list[Value]:
        chosen = Operation("scf.if", operands[:1], {}, terminator.location)
        _, then, other = terminator.attributes["operandSegmentSizes"]
        passed = (operands[1 : 1 + then], operands[1 + then : 1 + then + other])
        for successor, arguments in zip(terminator.successors, passed, strict=True):
            inner = Block(successor.label, chosen)
            bound = {**values, **dict(zip(successor.arguments, arguments, strict=True))}
            results = self.write(successor, bound, inner)
            append(inner, Operation("scf.yield", results, {}, terminator.location))
            chosen.regions.append(Region([inner]))
        yields = chosen.regions[0].block.terminator.operands
        chosen.results = [Value(value.type, index, chosen, None) for index, value in enumerate(yields)]
        append(target, chosen)
        return chosen.results


def append(block: Block, operation: Operation) -> None:
    """Puts a new operation at a block's end."""
    operation.block = block
    for operand in operation.operands:
        operand.users.append(operation)
    block.operations.append(operation)


def copy_operation(operation: Operation, values: dict[Value, Value], block: Block) -> Operation:
    """A copy for another block, its operands replaced by `values`, which learns the copies of its results."""
    operands = [values.get(operand, operand) for operand in operation.operands]
    copy = Operation(operation.name, operands, operation.attributes, operation.location)
    copy.block = block
    for operand in operands:
        operand.users.append(copy)
    copy.results = [Value(result.type, result.index, copy, None) for result in operation.results]
    values.update(zip(operation.results, copy.results, strict=True))
    copy.regions = [_copy_region(region, values, copy) for region in operation.regions]
    return copy


def _copy_region(region: Region, values: dict[Value, Value], owner: Operation) -> Region:
    blocks = {block: Block(block.label, owner) for block in region.blocks}
    for block, copy in blocks.items():
        copy.arguments = [Value(value.type, value.index, None, copy) for value in block.arguments]
        values.update(zip(block.arguments, copy.arguments, strict=True))
    for block, copy in blocks.items():
        for operation in block.operations:
            made = copy_operation(operation, values, copy)
            made.successors = [blocks[successor] for successor in operation.successors]
            copy.operations.append(made)
    return Region(list(blocks.values()))
