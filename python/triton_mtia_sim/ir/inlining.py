"""Puts bodies in the place of tt.call where Triton's inliner leaves one: noinline, early returns in a loop."""

from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Module, Operation
from triton_mtia_sim.ir.structuring import copy_operation, structure

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
    structure(callee)
    body = callee.regions[0].block
    values = dict(zip(body.arguments, call.operands, strict=True))
    copies = [copy_operation(operation, values, block) for operation in body.operations[:-1]]
    place = block.operations.index(call)
    block.operations[place : place + 1] = copies
    replaced = {result: values[value] for result, value in zip(call.results, body.terminator.operands, strict=True)}
    for result, value in replaced.items():
        for user in result.users:
            user.operands = [value if operand is result else operand for operand in user.operands]
        value.users.extend(result.users)
