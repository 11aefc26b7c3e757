"""Runs the region of a combiner or a mapped function on tiles: branches become selections."""

from collections.abc import Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Region
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.control_flow import branch_edges
from triton_mtia_sim.lowering.registry import PURE, lowers
from triton_mtia_sim.lowering.site import Environment, Site
from triton_mtia_sim.tiles.machine import Register


class RegionRun:
    """One evaluation of a region at a site."""

    def __init__(self, site: Site, region: Region, condition: Register | None = None) -> None:
        self.site = site
        self.region = region
        self.environment: Environment = dict(site.environment or {})
        self.results: list[Register] | None = None
        self.condition = condition  # where the region runs at all
        # Way into a block: (condition or None for always, operands).
        self.ways: dict[Block, list[tuple[Register | None, list[Register]]]] = {}

    def run(self, arguments: Sequence[Register]) -> list[Register]:
        """Results of the region; every block runs, and where ways meet the one that was taken is selected."""
        self.ways[self.region.blocks[0]] = [(self.condition, list(arguments))]
        for block in self.region.blocks:
            self.block(block)
        assert self.results is not None
        return self.results

    def block(self, block: Block) -> None:
        ways = self.ways[block]
        condition, values = ways[0]
        for other, others in ways[1:]:
            values = [self.select(other, b, a) for a, b in zip(values, others, strict=True)]
            condition = self.either(condition, other)
        self.environment.update(zip(block.arguments, values, strict=True))
        self.operations(block, condition)
        terminator = block.terminator
        if terminator.name == "cf.br":
            self.enter(terminator, 0, condition)
        elif terminator.name == "cf.cond_br":
            test = self.value(terminator, 0)
            self.enter(terminator, 0, self.both(condition, test))
            self.enter(terminator, 1, self.both(condition, self.inverse(test)))
        else:
            made = [self.value(terminator, index) for index in range(len(terminator.operands))]
            if self.results is not None:
                made = [self.select(condition, new, old) for new, old in zip(made, self.results, strict=True)]
            self.results = made

    def enter(self, branch: Operation, way: int, condition: Register | None) -> None:
        target, operands = branch_edges(branch)[way]
        values = [self.lookup(operand) for operand in operands]
        self.ways.setdefault(target, []).append((condition, values))

    def operations(self, block: Block, condition: Register | None) -> None:
        for operation in block.operations[:-1]:
            if operation.name == "tt.assert":
                self.assertion(operation, condition)
                continue
            if operation.name == "scf.if":
                results: Sequence[Register] = self.branch(operation, condition)
            else:
                lowering = PURE.get(operation.name)
                if lowering is None:
                    where = f"inside the region of {self.site.name}"
                    raise UnsupportedOperation(operation.name, operation.location, where, "use arithmetic there")
                made = lowering(Site(self.site.kernel, operation, self.site.bucket, self.environment))
                results = [made] if isinstance(made, Register) else made
            self.environment.update(zip(operation.results, results, strict=True))

    def branch(self, operation: Operation, outer: Register | None) -> list[Register]:
        condition = self.value(operation, 0)
        inner = Site(self.site.kernel, operation, self.site.bucket, self.environment)
        ways = [self.both(outer, condition), self.both(outer, self.inverse(condition))]
        made = [
            RegionRun(inner, region, way).run(())
            for region, way in zip(operation.regions, ways, strict=True)
            if region.blocks
        ]
        return [self.select(condition, a, b) for a, b in zip(*made, strict=True)] if operation.results else []

    def assertion(self, operation: Operation, condition: Register | None) -> None:
        """Holds wherever control would come by; elsewhere it says nothing."""
        if self.site.kernel.options.enable_assertions:
            holds = self.value(operation, 0)
            if condition is not None:
                holds = self.site.elementwise("or_i", [holds, self.inverse(condition)], DType.I1)
            message = self.site.kernel.string(operation.attributes.get("message", ""))
            self.site.emit("assert_", [], [holds, None], (message,))

    def value(self, operation: Operation, index: int) -> Register:
        return self.lookup(operation.operands[index])

    def lookup(self, value: object) -> Register:
        found = self.environment.get(value)  # type: ignore[call-overload]
        return self.site.kernel.data(value) if found is None else found  # type: ignore[arg-type]

    def select(self, condition: Register | None, a: Register, b: Register) -> Register:
        if condition is None or a is b:
            return a
        return self.site.elementwise("select", [condition, a, b], a.dtype)

    def both(self, a: Register | None, b: Register) -> Register:
        return b if a is None else self.site.elementwise("and_i", [a, b], DType.I1)

    def inverse(self, a: Register) -> Register:
        return self.site.elementwise("xor_i", [a, self.site.builder.integer(1, DType.I1)], DType.I1)

    def either(self, a: Register | None, b: Register | None) -> Register | None:
        return None if a is None or b is None else self.site.elementwise("or_i", [a, b], DType.I1)


@lowers("tt.map_elementwise")
def map_elementwise(site: Site) -> list[Register]:
    """A scalar function of `pack` neighbouring elements at a time, run on whole tiles."""
    pack, region = site.attribute("pack", 1), site.operation.regions[0]
    shape = shape_of(site.operand_type(0))
    tiles = [site.full(index) for index in range(site.operand_count)]
    count = tiles[0].elements // pack
    arguments: list[Register] = []
    for tile in tiles:
        grouped = site.builder.view(tile, (count, pack))
        for member in range(pack):
            arguments.append(
                tile if pack == 1 else site.make("slice", tile.dtype, (count, 1), [grouped], (1, member, 1))
            )
    made = RegionRun(site, region).run(arguments)
    made = [site.expand(item, arguments[0].shape) for item in made]
    if pack == 1:
        return [site.builder.view(item, shape) for item in made]
    results = []
    for first in range(0, len(made), pack):
        joined = made[first]
        for item in made[first + 1 : first + pack]:
            width = joined.shape[1] + 1
            joined = site.make("concatenate", item.dtype, (count, width), [joined, item], (1,))
        results.append(site.builder.view(joined, shape))
    return results
