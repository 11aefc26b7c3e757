"""Puts the bodies of called functions in the place of tt.call, for what Triton's own inliner leaves (noinline)."""

from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Module, Operation, Region, Value

_DEEPEST = 64


def inline_calls(module: Module, function: Operation, depth: int = 0) -> None:
    """Inlines every call in a function, and the calls that come with it."""
    if depth > _DEEPEST:
        name = function.attributes["sym_name"]
        raise UnsupportedOperation("tt.call", function.location, f"{name} calls itself", "write it as a loop")
    for region in function.regions:
        for block in region.blocks:
            for operation in list(block.operations):
                if operation.name == "tt.call":
                    _inline(module, block, operation, depth)
                elif operation.regions:
                    inline_calls(module, operation, depth)


def _inline(module: Module, block: Block, call: Operation, depth: int) -> None:
    name = call.attributes["callee"].lstrip("@").strip('"')
    callee = module.functions.get(name)
    if callee is None:
        raise UnsupportedOperation(
            "tt.call", call.location, f"{name} is not in the module", "define it in the kernel's file"
        )
    inline_calls(module, callee, depth + 1)
    blocks = callee.regions[0].blocks
    if len(blocks) != 1:
        raise UnsupportedOperation(
            "tt.call", call.location, f"{name} returns from several places and is not to be inlined", "drop noinline"
        )
    values = dict(zip(blocks[0].arguments, call.operands, strict=True))
    copies = [_copy(operation, values, block) for operation in blocks[0].operations[:-1]]
    place = block.operations.index(call)
    block.operations[place : place + 1] = copies
    replaced = {
        result: values[value] for result, value in zip(call.results, blocks[0].terminator.operands, strict=True)
    }
    for result, value in replaced.items():
        for user in result.users:
            user.operands = [value if operand is result else operand for operand in user.operands]
        value.users.extend(result.users)


def _copy(operation: Operation, values: dict[Value, Value], block: Block) -> Operation:
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
            made = _copy(operation, values, copy)
            made.successors = [blocks[successor] for successor in operation.successors]
            copy.operations.append(made)
    return Region(list(blocks.values()))
