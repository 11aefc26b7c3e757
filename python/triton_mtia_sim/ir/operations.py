"""Operations, blocks, regions and values of a parsed TTIR module."""

from dataclasses import dataclass, field
from typing import Any

from triton_mtia_sim.ir.types import Type


@dataclass(frozen=True)
class SourceLocation:
    """Where in a kernel an operation comes from; line 0 where MLIR does not know."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"


UNKNOWN_LOCATION = SourceLocation("<unknown>", 0, 0)


class Value:
    """An SSA value: result `index` of `operation`, or argument `index` of `block`."""

    __slots__ = ("block", "index", "name", "operation", "type", "users")

    def __init__(self, type_: Type, index: int, operation: "Operation | None", block: "Block | None") -> None:
        self.type = type_
        self.index = index
        self.operation = operation
        self.block = block
        self.name = ""
        self.users: list[Operation] = []


class Operation:
    """One operation with its regions."""

    __slots__ = ("attributes", "block", "location", "name", "operands", "regions", "results", "successors")

    def __init__(self, name: str, operands: list[Value], attributes: dict[str, Any], location: SourceLocation) -> None:
        self.name = name
        self.operands = operands
        self.attributes = attributes
        self.location = location
        self.results: list[Value] = []
        self.regions: list[Region] = []
        self.successors: list[Block] = []
        self.block: Block | None = None


class Block:
    """A list of operations with arguments."""

    __slots__ = ("arguments", "label", "operations", "owner")

    def __init__(self, label: str, owner: Operation) -> None:
        self.label = label
        self.owner = owner
        self.arguments: list[Value] = []
        self.operations: list[Operation] = []

    @property
    def terminator(self) -> Operation:
        return self.operations[-1]


@dataclass
class Region:
    """Blocks in layout order; most regions have one."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def block(self) -> Block:
        """The only block."""
        if len(self.blocks) != 1:
            raise ValueError(f"a region of {len(self.blocks)} blocks where one was expected")
        return self.blocks[0]


class Module:
    """The functions of a module by name."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.functions = {
            function.attributes["sym_name"]: function
            for function in operation.regions[0].block.operations
            if function.name == "tt.func"
        }

    @property
    def kernel(self) -> Operation:
        """The one public function."""
        public = [item for item in self.functions.values() if item.attributes.get("sym_visibility") == "public"]
        if len(public) != 1:
            raise ValueError(f"a module with {len(public)} public functions, a kernel has one: {list(self.functions)}")
        return public[0]


def base_name(name: str) -> str:
    """An SSA name without the number that makes it unique; "" of a mere number."""
    stem, _, number = name.rpartition("_")
    name = stem if stem and number.isdigit() else name
    return "" if name.isdigit() else name
