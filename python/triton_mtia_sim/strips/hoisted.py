"""Makes ranges and masks anew in each straight line that uses them: kept over a loop they would be whole tiles."""

from triton_mtia_sim.tiles.machine import Code, Register

Segments = list[tuple[bool, list[tuple[int, Code]]]]
CHEAP = frozenset(
    """
    iota extend_s extend_u add_i sub_i mul_i and_i or_i xor_i shl shr_s shr_u max_s min_s max_u min_u compare_i select
    copy bitcast convert_s_to_f convert_u_to_f
    """.split()  # noqa: SIM905 - a list of words
)


def localise(segments: Segments, least: int) -> list[Code]:
    """The code with every large tile that depends on numbers only made in each segment that reads it."""
    definitions: dict[Register, int] = {}
    for _, segment in segments:
        for _, item in segment:
            for result in item.results:
                if result is not None:
                    definitions[result.root] = definitions.get(result.root, 0) + 1
    recipes: dict[Register, tuple[int, Code]] = {}
    code: list[Code] = []
    for number, (_, segment) in enumerate(segments):
        made: dict[Register, Register] = {}
        for _, item in segment:
            operands = [_local(register, number, recipes, made, code) for register in item.operands]
            if any(new is not old for new, old in zip(operands, item.operands, strict=True)):
                item = Code(item.mnemonic, item.results, operands, item.attributes, item.location)
            code.append(item)
            result = item.results[0] if item.results else None
            if result is None or not result.shape or result.elements < least or item.mnemonic not in CHEAP:
                continue
            if definitions[result.root] == 1 and all(
                _settled(operand, definitions, recipes) for operand in item.operands
            ):
                recipes[result.root] = (number, item)
    return code


def _settled(
    operand: Register | None, definitions: dict[Register, int], recipes: dict[Register, tuple[int, Code]]
) -> bool:
    """Whether an operand is the same wherever the result may be read."""
    if operand is None or operand.is_constant:
        return True
    if operand.shape:
        return operand.root in recipes
    return definitions.get(operand.root, 0) <= 1


def _local(
    register: Register | None,
    number: int,
    recipes: dict[Register, tuple[int, Code]],
    made: dict[Register, Register],
    code: list[Code],
) -> Register | None:
    if register is None or register.root not in recipes or recipes[register.root][0] == number:
        return register
    if register.root not in made:
        _, item = recipes[register.root]
        result = item.results[0]
        assert result is not None
        operands = [_local(operand, number, recipes, made, code) for operand in item.operands]
        fresh = Register(register.root.dtype, register.root.shape, result.home)
        view = _view(fresh, result)
        again = Code(item.mnemonic, [view], operands, item.attributes, item.location)
        fresh.definition = view.definition = again
        code.append(again)
        made[register.root] = fresh
        recipes[fresh] = (number, again)
    return _view(made[register.root], register)


def _view(root: Register, like: Register) -> Register:
    result = Register(like.dtype, like.shape, root.home)
    result.root, result.definition = root, root.definition
    return result
