"""When each instruction of a straight line runs: phases of strips, and what runs whole between them.

Times are numbers: an even one is a phase, which runs all its instructions on strip 0, then on strip 1 and so on; at an
odd one instructions run whole, in their own order. A strip only meets its own strip of what went before, so
instructions that depend on each other share a phase unless something in between needs all strips. Where a segment has a
scan from the end, every other phase begins with the last strip.
"""

from collections.abc import Iterable

from triton_mtia_sim.analysis.structure import has_effect
from triton_mtia_sim.strips.aliasing import READS, WRITES, Check, checkable, conflict, same_place
from triton_mtia_sim.strips.hoisted import CHEAP
from triton_mtia_sim.strips.roles import Cutting, Kind, Roles
from triton_mtia_sim.tiles.machine import Code, Register

_PLAIN_WORK = CHEAP | {
    "convert_f", "convert_f_to_s", "convert_f_to_u", "compare_f", "neg_f", "abs_f", "add_f", "sub_f", "mul_f",
}  # fmt: skip


class Node:
    """An instruction of the segment, or one that is repeated at a later time."""

    __slots__ = ("after", "before", "index", "item", "movable", "plan", "time", "turns")

    def __init__(self, index: int, item: Code, plan: Roles | None, turns: bool) -> None:
        self.index = index
        self.item = item
        self.plan = plan  # None: runs whole
        self.turns = turns  # whether phases in both directions alternate
        self.time = self.allowed(1)
        self.movable = False
        self.before: list[tuple[Node, int]] = []  # nodes that come earlier, and how much at least
        self.after: list[tuple[Node, int]] = []

    @property
    def ascends(self) -> bool:
        """Whether the order of its strips shows, and is the first one first."""
        if self.plan is None or self.plan.kind is Kind.SCAN_BACK:
            return False
        distinct = self.item.mnemonic == "dma_store" and same_place(self.item, self.item)
        return self.plan.kind is not Kind.STRIPS or (has_effect(self.item) and not distinct)

    @property
    def finishes(self) -> int:
        """How long after the node's own time its results are whole or its strips there."""
        return 0 if self.plan is None or self.plan.cuts_results else 1

    def allowed(self, time: int) -> int:
        """The first time from `time` on at which the node may run."""
        if self.plan is None:
            return time + (time % 2 == 0)
        time += time % 2
        if not self.turns:
            return time
        return time + 2 * (self.ascends if time % 4 == 0 else self.plan.kind is Kind.SCAN_BACK)


class Schedule:
    """Times of the nodes of one segment.

    `reload`: loads may be repeated rather than kept, and accesses that a launch can tell apart share a phase; `checks`
    are the pairs that it then must tell apart, by the time of the second.
    """

    def __init__(
        self, segment: list[tuple[int, Code]], cutting: Cutting, definitions: dict[Register, int], kept: set[Register],
        reload: bool,
    ) -> None:  # fmt: skip
        self.cutting = cutting
        self.reload = reload
        self.definitions = definitions
        plans = [cutting.plans[position] for position, _ in segment]
        self.turns = any(plan is not None and plan.kind is Kind.SCAN_BACK for plan in plans)
        self.nodes = [
            Node(position, item, plan, self.turns) for (position, item), plan in zip(segment, plans, strict=True)
        ]
        self.writers: dict[Register, list[Node]] = {}
        self.checks: dict[int, list[Check]] = {}
        self._relaxed: list[tuple[Node, Node]] = []
        self._memory = [node for node in self.nodes if node.item.mnemonic in READS | WRITES or has_effect(node.item)]
        self._depend()
        for node in self.nodes:
            tiles = node.plan is not None and node.plan.kind is Kind.STRIPS
            single = all(definitions[root] == 1 and root not in kept for root in _roots(node.item.results))
            node.movable = tiles and single and not has_effect(node.item)
        self._assign()
        self.times: dict[int, list[Node]] = {}
        for node in self.nodes:
            self.times.setdefault(node.time, []).append(node)
        self.repeated: dict[tuple[int, Register], Node] = {}
        self._repeat()
        for nodes in self.times.values():
            nodes.sort(key=lambda node: node.index)
        for first, second in self._relaxed:
            if first.time == second.time:
                self._check(second.time, first, second, True)

    def descends(self, time: int) -> bool:
        """Whether the phase of this time begins with the last strip."""
        return self.turns and time % 4 == 0

    # ---- dependences
    def _link(self, a: Node, b: Node, gap: int) -> None:
        a.after.append((b, gap))
        b.before.append((a, gap))

    def _depend(self) -> None:
        readers: dict[Register, list[Node]] = {}
        last: dict[Register, Node] = {}
        for node in self.nodes:
            for root in _roots(node.item.operands):
                if root in last:
                    self._link(last[root], node, last[root].finishes)
                readers.setdefault(root, []).append(node)
            for root in _roots(node.item.results):
                if root in last:
                    self._link(last[root], node, last[root].finishes - node.finishes)
                for reader in readers.pop(root, ()):
                    if reader is not node:
                        self._link(reader, node, -node.finishes)
                last[root] = node
                self.writers.setdefault(root, []).append(node)
        for place, node in enumerate(self._memory):
            for earlier in self._memory[:place]:
                if conflict(earlier.item, node.item):
                    self._order(earlier, node)

    def _order(self, a: Node, b: Node) -> None:
        gap = 0
        if a.plan is not None and b.plan is not None and not same_place(a.item, b.item):
            if self.reload and checkable(a.item, b.item):
                self._relaxed.append((a, b))
            else:
                gap = 2
        self._link(a, b, gap)

    # ---- times
    def _assign(self) -> None:
        for node in self.nodes:
            for earlier, gap in node.before:
                node.time = max(node.time, node.allowed(earlier.time + gap))
        for node in reversed(self.nodes):
            if node.movable and node.after:
                latest = min(later.time - gap for later, gap in node.after)
                node.time = max(node.time, latest - latest % 2)

    # ---- values that are made again rather than kept
    def _repeat(self) -> None:
        wanted: dict[Node, set[int]] = {}
        cost: dict[Node, int] = {}
        for node in self.nodes:
            if node.movable:
                cost[node] = self._cost(node, cost)
        for node in reversed(self.nodes):
            if node.movable:
                for time in sorted(wanted.get(node, set()) - {node.time}):
                    if cost[node] < _bytes(node.item.results) and self._may_repeat(node, time):
                        again = Node(node.index, node.item, node.plan, self.turns)
                        again.time = time
                        self.times[time].append(again)
                        for root in _roots(node.item.results):
                            self.repeated[time, root] = again
                        self._want(wanted, node, time)
            self._want(wanted, node, node.time)

    def _want(self, wanted: dict[Node, set[int]], node: Node, time: int) -> None:
        for root in _roots(node.item.operands):
            maker = self._maker(root)
            if maker is not None and time > maker.time:
                wanted.setdefault(maker, set()).add(time)

    def _maker(self, root: Register) -> Node | None:
        made = self.writers.get(root, ())
        return made[0] if len(made) == 1 and self.definitions[root] == 1 else None

    def _cost(self, node: Node, cost: dict[Node, int]) -> int:
        """Bytes that must be kept to make the node's results again, besides what comes from before the segment."""
        own = _bytes(node.item.results)
        if node.item.mnemonic in READS:
            if not self.reload:
                return own
        elif not self.reload and node.item.mnemonic not in _PLAIN_WORK:
            return own
        total = 0
        for root in _roots(node.item.operands):
            if self.cutting.cuts(root) and root in self.writers:
                maker = self._maker(root)
                total += min(root.bytes, cost[maker]) if maker is not None and maker in cost else root.bytes
        return total

    def _may_repeat(self, node: Node, time: int) -> bool:
        """Whether the node's operands and the memory that it reads are at `time` what they were."""
        for root in _roots(node.item.operands):
            if any(writer.index > node.index for writer in self.writers.get(root, ())):
                return False
        if node.item.mnemonic not in READS:
            return True
        checks = []
        for other in self._memory:
            if other.index < node.index or other.time > time or not conflict(node.item, other.item):
                continue
            if other.time == time and same_place(node.item, other.item):
                continue
            if not checkable(node.item, other.item):
                return False
            checks.append(other)
        for other in checks:
            self._check(other.time, node, other, other.time == time)
        return True

    def _check(self, time: int, a: Node, b: Node, same: bool) -> None:
        found = self.checks.setdefault(time, [])
        for place, check in enumerate(found):
            if check.first is a.item and check.second is b.item:
                found[place] = Check(a.item, b.item, same and check.same)
                return
        found.append(Check(a.item, b.item, same))


def _roots(registers: Iterable[Register | None]) -> list[Register]:
    """Roots of scalars and tiles, each once."""
    found = (register.root for register in registers if register is not None and not register.is_constant)
    return list(dict.fromkeys(found))


def _bytes(registers: Iterable[Register | None]) -> int:
    return sum(root.bytes for root in _roots(registers) if root.shape)
