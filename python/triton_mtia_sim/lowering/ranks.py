"""Instructions on tiles of a higher rank than the chip knows, on views of the same tiles with fewer dimensions."""

import math
from collections.abc import Sequence

from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.tiles.machine import Code, Register, Shape

HIGHEST_RANK = 6  # csrc/program/tile_program.h: max_rank
# Where the axis stands among the attributes.
_AXIS = {"reduce": 1, "reduce_index": 1, "scan": 1, "slice": 0, "concatenate": 0, "gather_local": 0, "sort": 0}
# Every tile of these has the same elements in the same order, or is one number.
_FLAT = frozenset(("gather", "scatter", "atomic_rmw", "atomic_cas", "histogram", "print"))
_REFUSED = frozenset(("dma_load", "dma_store", "dot", "dot_scaled", "iota"))


def legal_ranks(code: list[Code]) -> list[Code]:
    """The same instructions on tiles of at most HIGHEST_RANK dimensions."""
    result: list[Code] = []
    for item in code:
        tiles = [register for register in (*item.results, *item.operands) if register is not None]
        if all(len(register.shape) <= HIGHEST_RANK for register in tiles):
            result.append(item)
        else:
            result.extend(_legal(item))
    return result


def _legal(item: Code) -> list[Code]:
    if item.mnemonic in _REFUSED:
        rank = max(len(register.shape) for register in (*item.results, *item.operands) if register is not None)
        raise UnsupportedOperation(
            item.mnemonic,
            item.location,
            f"a tile of rank {rank}, at most {HIGHEST_RANK}",
            "reshape it to fewer dimensions",
        )
    if item.mnemonic in _AXIS:
        return [_along_axis(item)]
    if item.mnemonic == "permute":
        return _permute(item)
    if item.mnemonic == "interleave":
        (d,) = item.results
        assert d is not None
        return [_with(item, [view(d, (d.elements // 2, 2))], [flat(operand) for operand in item.operands])]
    if item.mnemonic in ("gather_rows", "scatter_rows"):
        return [_with(item, [_matrix(result) for result in item.results], [_matrix(tile) for tile in item.operands])]
    if item.mnemonic in _FLAT:
        return [_with(item, [flat(result) for result in item.results], [flat(operand) for operand in item.operands])]
    return _aligned(item)


def _with(
    item: Code,
    results: Sequence[Register | None],
    operands: Sequence[Register | None],
    attributes: tuple[int, ...] | None = None,
) -> Code:
    return Code(
        item.mnemonic,
        list(results),
        list(operands),
        item.attributes if attributes is None else attributes,
        item.location,
    )


def view(tile: Register, shape: Shape) -> Register:
    """The same storage under another shape."""
    result = Register(tile.dtype, shape, tile.home)
    result.root, result.definition = tile.root, tile.definition
    return result


def flat(tile: Register | None) -> Register | None:
    """A tile as rank 1; what is no tile as it is."""
    return tile if tile is None or not tile.shape else view(tile, (tile.elements,))


def _matrix(tile: Register | None) -> Register | None:
    """A tile with all dimensions but the last as one."""
    if tile is None or not tile.shape:
        return tile
    return view(tile, (math.prod(tile.shape[:-1]), tile.shape[-1]))


def _along_axis(item: Code) -> Code:
    """Everything before the axis is one dimension, everything behind it another; reductions drop the middle one."""
    place = _AXIS[item.mnemonic]
    axis = item.attributes[place]

    def folded(tile: Register | None, dropped: bool = False) -> Register | None:
        if tile is None or not tile.shape:
            return tile
        behind = axis if dropped else axis + 1
        middle = () if dropped else (tile.shape[axis],)
        return view(tile, (math.prod(tile.shape[:axis]), *middle, math.prod(tile.shape[behind:])))

    dropped = item.mnemonic in ("reduce", "reduce_index")
    attributes = (*item.attributes[:place], 1, *item.attributes[place + 1 :])
    results = [folded(result, dropped) for result in item.results]
    return _with(item, results, [folded(operand) for operand in item.operands], attributes)


def _permute(item: Code) -> list[Code]:
    (d,), (a,) = item.results, item.operands
    assert d is not None and a is not None
    order = [dimension for dimension in item.attributes if a.shape[dimension] != 1]
    runs: list[list[int]] = []  # source dimensions that stay neighbours, in the result's order
    kept = sorted(order)
    for dimension in order:
        if runs and kept.index(runs[-1][-1]) + 1 == kept.index(dimension):
            runs[-1].append(dimension)
        else:
            runs.append([dimension])
    source = sorted(runs)
    sizes = [math.prod(a.shape[dimension] for dimension in run) for run in source]
    permutation = [source.index(run) for run in runs]
    if len(runs) <= HIGHEST_RANK:
        result = view(d, tuple(sizes[index] for index in permutation))
        return [_with(item, [result], [view(a, tuple(sizes))], tuple(permutation))]
    # One run after another is brought to its place: (done, before, run, behind) -> (done, run, before, behind).
    codes: list[Code] = []
    current, now = a, list(range(len(source)))
    for place, wanted in enumerate(permutation[:-1]):
        at = now.index(wanted)
        if at == place:
            continue
        now.insert(place, now.pop(at))
        parts = [math.prod(sizes[index] for index in part) for part in (now[:place], now[place + 1 : at + 1])]
        done, before, behind = parts[0], parts[1], math.prod(sizes[index] for index in now[at + 1 :])
        made = d if now == permutation else Register(d.dtype, (d.elements,), d.home)
        moved = view(made, (done, sizes[wanted], before, behind))
        codes.append(_with(item, [moved], [view(current, (done, before, sizes[wanted], behind))], (0, 2, 1, 3)))
        current = made
        if now == permutation:
            break
    return codes


def _aligned(item: Code) -> list[Code]:
    """Element-wise: neighbouring dimensions that every operand has, or every operand broadcasts, become one."""
    tiles = [tile for tile in (*item.results, *item.operands) if tile is not None and tile.shape]
    rank = max(len(tile.shape) for tile in tiles)
    full = tuple(max(tile.shape[dimension] for tile in tiles) for dimension in range(rank))
    codes: list[Code] = []
    operands = list(item.operands)
    while len(groups := _groups(full, [*item.results, *operands])) > HIGHEST_RANK:
        # The operand that broadcasts in most places is written out at the last of them.
        worst = max(range(len(operands)), key=lambda index: len(_broadcast(operands[index], full)))
        narrow = operands[worst]
        assert narrow is not None
        run = _broadcast(narrow, full)[-1]
        shape = tuple(full[d] if d in run else size for d, size in enumerate(narrow.shape))
        wide = Register(narrow.dtype, shape, narrow.home)
        lead, size, behind = (
            math.prod(narrow.shape[: run[0]]),
            math.prod(full[d] for d in run),
            math.prod(narrow.shape[run[-1] + 1 :]),
        )
        copied = Code("copy", [view(wide, (lead, size, behind))], [view(narrow, (lead, 1, behind))], (), item.location)
        codes.append(copied)
        operands[worst] = wide

    def folded(tile: Register | None) -> Register | None:
        if tile is None or not tile.shape:
            return tile
        shape = tuple(math.prod(tile.shape[dimension] for dimension in group) for group in groups)
        return view(tile, shape or (1,))

    codes.append(_with(item, [folded(result) for result in item.results], [folded(operand) for operand in operands]))
    return codes


def _groups(full: Shape, registers: Sequence[Register | None]) -> list[list[int]]:
    """Runs of dimensions that may be one."""
    tiles = [tile for tile in registers if tile is not None and tile.shape]
    groups: list[list[int]] = []
    last: list[bool] | None = None
    for dimension, size in enumerate(full):
        if size == 1:
            continue
        present = [tile.shape[dimension] != 1 for tile in tiles]
        if present == last:
            groups[-1].append(dimension)
        else:
            groups.append([dimension])
        last = present
    return groups


def _broadcast(tile: Register | None, full: Shape) -> list[list[int]]:
    """Runs of dimensions along which a tile broadcasts."""
    runs: list[list[int]] = []
    if tile is None or not tile.shape:
        return runs
    open_run = False
    for dimension, size in enumerate(full):
        if size == 1:
            continue
        if tile.shape[dimension] != 1:
            open_run = False
        elif open_run:
            runs[-1].append(dimension)
        else:
            runs.append([dimension])
            open_run = True
    return runs
