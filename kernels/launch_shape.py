"""Launch shapes: how an ATen operator's tensors become the grid, the blocks and the arguments of a Triton kernel."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import triton.language as tl

import mtia_sim_kernels.triton as kernel_folder
from mtia_core.chips import Chip


@dataclass(frozen=True)
class ChipLimits:
    """What a launch shape may know of a chip."""

    local_memory_bytes: int
    processing_elements: int
    #: Of a PE's share of the DRAM: what has to be on its way for full bandwidth.
    bytes_in_flight: float = 0.0
    #: A cycle and PE: products of 16-bit floats, and bytes out of the SRAM where all PEs read.
    dot_macs_per_cycle: float = 1.0
    sram_bytes_per_cycle: float = 1.0
    dram_latency_cycles: float = 0.0

    @staticmethod
    def of(chip: Chip) -> ChipLimits:
        pes = chip.processing_elements
        sram = chip.sram_bytes_per_second * chip.network_efficiency * chip.sram_one_way_fraction / pes / chip.clock_hz
        dram = chip.dram_bytes_per_second * chip.dram_efficiency / pes
        return ChipLimits(
            chip.local_memory_bytes,
            pes,
            dram * chip.dram_latency_ns * 1e-9,
            chip.dot_f16_macs_per_cycle,
            min(sram, chip.fabric_bytes_per_cycle),
            chip.dram_latency_ns * 1e-9 * chip.clock_hz,
        )

    @property
    def longer_blocks(self) -> int:
        """By how much longer than 32 KiB a tensor's blocks have to be, as a power of two, where a PE has so large a
        share of the DRAM's bandwidth that two such blocks do not cover the latency, and the local memory to hold them:
        2 MiB for four programs side by side, of half a MiB each (ChipSpec::longer_blocks)."""
        wanted = next_power_of_2(math.ceil(self.bytes_in_flight / (48 * 1024)))
        return min(64, wanted, floor_power_of_2(self.local_memory_bytes >> 21))

    def stages(self, block_bytes: int, blocks: int) -> int:
        """Buffers of a loop over `blocks` that may not grow, for sums of one order: those that cover the latency."""
        # Where they leave no room for the loops' other tiles side by side, more buffers cost more than they hide.
        room = self.local_memory_bytes // (64 * block_bytes)
        return max(2, min(16, blocks, room, math.ceil(self.bytes_in_flight / block_bytes) + 1))


@dataclass(frozen=True)
class Tensor:
    """The base pointer of the index-th tensor of the call."""

    index: int


@dataclass(frozen=True)
class Scalar:
    """The index-th run-time number of the call, passed as `dtype`: "fp32", "fp64", "i32" or "i64"."""

    index: int
    dtype: str


@dataclass(frozen=True)
class Workspace:
    """Scratch of the call that only its launches see: the bridge takes it from the caching allocator.

    Launches of one plan that name the same `index` share the memory; its content is undefined at the first launch.
    """

    index: int
    dtype: str
    elements: int


@dataclass(frozen=True)
class WideInteger:
    """A number that is baked in with 64 bits, whatever its size: what a kernel multiplies it with becomes as wide."""

    value: int


Argument = Tensor | Scalar | Workspace | WideInteger | int | float | None


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel. `arguments` by parameter name; an int or float is baked in, None is an absent pointer."""

    kernel: Any
    grid: tuple[int, int, int]
    arguments: Mapping[str, Argument]
    constexprs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


Plan = Launch | Sequence[Launch]
LaunchShape = Callable[[tuple[str, ...], tuple[int, ...], ChipLimits], Plan]

_launch_shapes: dict[str, LaunchShape] = {}

#: Triton's element types by the names that launch plans use.
TRITON_DTYPES: dict[str, tl.dtype] = {
    "bool": tl.int1,
    "i8": tl.int8,
    "i16": tl.int16,
    "i32": tl.int32,
    "i64": tl.int64,
    "u8": tl.uint8,
    "u16": tl.uint16,
    "u32": tl.uint32,
    "u64": tl.uint64,
    "fp16": tl.float16,
    "bf16": tl.bfloat16,
    "fp32": tl.float32,
    "fp64": tl.float64,
    "fp8e4m3": tl.float8e4nv,
    "fp8e5m2": tl.float8e5,
}

DTYPE_BYTES: dict[str, int] = {
    "bool": 1,
    "i8": 1,
    "i16": 2,
    "i32": 4,
    "i64": 8,
    "u8": 1,
    "u16": 2,
    "u32": 4,
    "u64": 8,
    "fp16": 2,
    "bf16": 2,
    "fp32": 4,
    "fp64": 8,
    "fp8e4m3": 1,
    "fp8e5m2": 1,
}

UNSIGNED = frozenset({"u8", "u16", "u32", "u64"})
FLOATS = frozenset({"fp16", "bf16", "fp32", "fp64", "fp8e4m3", "fp8e5m2"})


def launch_shape(name: str) -> Callable[[LaunchShape], LaunchShape]:
    """Registers the decorated function as the launch shape of kernel `name`; a name can be taken once."""

    def register(function: LaunchShape) -> LaunchShape:
        if name in _launch_shapes:
            raise ValueError(
                f"kernel {name!r} has two launch shapes: {_launch_shapes[name].__module__} and {function.__module__}"
            )
        _launch_shapes[name] = function
        return function

    return register


def load_kernels() -> None:
    """Imports every file of kernels/triton, which registers its launch shapes."""
    for module in pkgutil.walk_packages(kernel_folder.__path__, kernel_folder.__name__ + "."):
        importlib.import_module(module.name)


def kernel_names() -> tuple[str, ...]:
    """Names of all kernels that `plan` knows, sorted."""
    load_kernels()
    return tuple(sorted(_launch_shapes))


def plan(name: str, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> tuple[Launch, ...]:
    """The launches of kernel `name`, in order.

    `dtypes` are the tensors' dtypes (plus what the kernel documents), `sizes` whatever its launch shape documents.
    Raises KeyError for an unknown kernel and ValueError for sizes that the kernel does not take.
    """
    if name not in _launch_shapes:
        load_kernels()
    if name not in _launch_shapes:
        raise KeyError(f"no Triton kernel is called {name!r}; add it under kernels/triton with @launch_shape({name!r})")
    launches = _launch_shapes[name](dtypes, sizes, chip)
    return (launches,) if isinstance(launches, Launch) else tuple(launches)


def tensor_arguments(names: Sequence[str], dtypes: tuple[str, ...]) -> dict[str, Argument]:
    """Tensor i for parameter names[i], or None where dtypes[i] is "none": a tensor that the operator was not given."""
    return {name: Tensor(i) if dtypes[i] != "none" else None for i, name in enumerate(names)}


def compute_dtype(dtype: str) -> str:
    """The dtype that arithmetic on `dtype` is done in: float32 for the half and 8-bit floats, else itself."""
    return "fp32" if dtype in FLOATS and dtype != "fp64" else dtype


def scalar_dtype(compute: str) -> str:
    """How a run-time number reaches a kernel that computes in `compute`."""
    if compute == "fp64":
        return "fp64"
    return "fp32" if compute in FLOATS else "i64"


def ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def next_power_of_2(value: int) -> int:
    return 1 << max(value - 1, 0).bit_length()


def floor_power_of_2(value: int) -> int:
    return 1 << (max(value, 1).bit_length() - 1)


def block_limit(chip: ChipLimits, bytes_per_element: int, most: int = 16384, elements: int = 0) -> int:
    """The largest power of two of elements that fits local memory with a margin of an eighth: at most `most`, or more
    where the chip needs longer blocks and so many `elements` come as a stream that each PE gets four of them."""
    longer = chip.longer_blocks
    while longer > 1 and elements < 4 * most * longer * chip.processing_elements:
        longer //= 2
    fits = floor_power_of_2(chip.local_memory_bytes * 7 // 8 // bytes_per_element)
    return max(16, min(most * longer, fits))


def tile_extent(size: int, limit: int) -> int:
    """A power of two, `limit` at most, that covers `size` with few wasted lanes: the largest of the least wasteful."""
    if size <= limit:
        whole = next_power_of_2(size)
        if whole <= limit and (whole * 3 <= size * 4 or whole <= 64):
            return whole
    candidates = [1 << power for power in range(6, limit.bit_length())] or [limit]
    return min(candidates, key=lambda block: (ceil_div(size, block) * block + size * 64 // block, -block))


#: Elements of a block along a reduced dimension. The same on every chip, so that sums have one order and a chip changes
#: time and energy but no result; small enough for eight float32 tiles in the 128 KiB of mtia1.
REDUCED_BLOCK = 4096


def index_dtype(reaches: Iterable[int]) -> tl.dtype:
    """The dtype of offsets inside a tile whose furthest offsets, in elements, are `reaches`."""
    return tl.int32 if all(abs(reach) < 2**31 for reach in reaches) else tl.int64


def tile_count(tiles: int, block: int) -> int | WideInteger:
    """The number of tiles along a dimension, of `block` elements each, as an argument of a kernel.

    The kernel computes a tile's first element, `tile % tiles * block`, in the width of this argument: 64 bits where
    32 are too few.
    """
    return tiles if tiles * block < 2**31 else WideInteger(tiles)


def row_tile(chip: ChipLimits, rows: int, columns: int, element_bytes: int, widest: int = 4) -> tuple[int, int]:
    """Blocks (rows, columns) of a kernel that reduces along the columns.

    `element_bytes` is what one element of a tile occupies in all live tiles, `widest` the bytes of the widest dtype.
    The column block depends on `columns` and `widest` alone; the row block fills local memory and leaves all PEs work.
    """
    block_columns = max(16, min(next_power_of_2(columns), REDUCED_BLOCK * 4 // max(widest, 4)))
    most = block_limit(chip, element_bytes, elements=rows * columns) // block_columns
    wanted = next_power_of_2(ceil_div(rows, chip.processing_elements))
    return max(1, min(most, wanted)), block_columns


def row_parts(rows: int, length: int, block: int) -> tuple[int, int]:
    """(parts of each row, elements of a part): few rows of many blocks are shared by about 128 PEs, in whole blocks.

    Of one order of sums, like `block`: the same on every chip.
    """
    blocks = ceil_div(length, block)
    if rows > 32 or blocks < 4:
        return 1, length
    part = ceil_div(blocks, 128 // rows) * block
    return ceil_div(length, part), part


def row_group(rows: int) -> tuple[int, int]:
    """(rows a group, groups) of sums over rows: at most 144 groups of at least 8 rows, the same on every chip."""
    rows_per_group = max(8, ceil_div(rows, 144))
    return rows_per_group, ceil_div(rows, rows_per_group)


def programs_for(chip: ChipLimits, tiles: int) -> tuple[int, int]:
    """Spreads `tiles` over the PEs: (programs, tiles a program); program p takes the tiles p, p + programs, ..."""
    tiles_per_program = ceil_div(tiles, chip.processing_elements)
    return ceil_div(tiles, tiles_per_program), tiles_per_program


def rows_launch(
    kernel: Any,
    arguments: Mapping[str, Argument],
    rows: int,
    length: int,
    element_bytes: int,
    compute: str,
    chip: ChipLimits,
    one_block: bool = False,
) -> Launch:
    """Launches `kernel` over tiles of `rows` rows of `length` elements; `element_bytes` as for row_tile().

    Adds tiles, programs and rows to its arguments, COMPUTE, ROWS and COLUMNS to its constexprs and, with `one_block`,
    ONE_BLOCK: whether a tile holds whole rows.
    """
    block_rows, columns = row_tile(chip, rows, length, element_bytes, DTYPE_BYTES[compute])
    tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, tiles)
    constexprs = {"COMPUTE": TRITON_DTYPES[compute], "ROWS": block_rows, "COLUMNS": columns}
    if one_block:
        constexprs["ONE_BLOCK"] = length <= columns
    launched = {**arguments, "tiles": tiles, "programs": programs, "rows": rows}
    return Launch(kernel, (programs, 1, 1), launched, constexprs)


def row_groups_launch(
    kernel: Any, arguments: Mapping[str, Argument], rows: int, length: int, compute: str, chip: ChipLimits
) -> Launch:
    """Launches `kernel` over the groups of row_group(rows), each of which it sums in tiles of rows of `length`.

    Adds groups, group_rows, programs, rows and length to its arguments, COMPUTE, ROWS, COLUMNS, STAGES and ONE_BLOCK
    (whether a tile holds whole rows) to its constexprs.
    """
    wide = DTYPE_BYTES[compute]
    group_rows, groups = row_group(rows)
    # The rows of a tile set the order of the sums, so they do not depend on the chip.
    _, columns = row_tile(chip, rows, length, 1, wide)
    columns = min(columns, 2048 * 4 // wide)
    block_rows = max(1, min(next_power_of_2(group_rows), 2048 * 4 // wide // columns))
    programs, _ = programs_for(chip, groups)
    # Two tensors are read, of 2 bytes an element at least.
    blocks = ceil_div(group_rows, block_rows) * ceil_div(length, columns)
    stages = chip.stages(block_rows * columns * 4, blocks)
    launched = {**arguments, "groups": groups, "group_rows": group_rows, "programs": programs}
    constexprs = {
        "ONE_BLOCK": length <= columns,
        "COMPUTE": TRITON_DTYPES[compute],
        "ROWS": block_rows,
        "COLUMNS": columns,
        "STAGES": stages,
    }
    return Launch(kernel, (programs, 1, 1), {**launched, "rows": rows, "length": length}, constexprs)
