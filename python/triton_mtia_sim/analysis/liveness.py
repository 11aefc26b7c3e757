"""Live ranges of registers over structured control flow, as sets of program points held in integers.

Instruction i reads at point 2i and writes at point 2i + 1. A register is live at a point when its content then is read
later. Ranges of views are those of their root.
"""

from mtia_core import isa
from triton_mtia_sim.analysis.structure import Construct, constructs
from triton_mtia_sim.tiles.machine import Code, Register

_IN_PLACE_FORMS = frozenset(
    """
    float_binary float_ternary float_unary float_test integer_binary integer_unary integer_compare float_compare
    select float_to_float integer_to_float float_to_integer integer_to_integer copy
    """.split()  # noqa: SIM905 - a list of words
)


class Ranges:
    """Per root register: `live`, the points where it must keep its content; `written`, the points that assign it."""

    def __init__(self, code: list[Code]) -> None:
        self.code = code
        self.top, self.around = constructs(code)
        self.roots: list[Register] = []
        self.numbers: dict[Register, int] = {}
        for item in code:
            for register in (*item.results, *item.operands):
                if register is not None and not register.is_constant and register.root not in self.numbers:
                    self.numbers[register.root] = len(self.roots)
                    self.roots.append(register.root)
        self.live_in = [0] * len(code)
        self.live_out = [0] * len(code)
        self._flow(0, len(code), self.top, 0)
        self.live = [0] * len(self.roots)
        self.written = [0] * len(self.roots)
        self._transpose()
        self._forbid_sharing()

    def mask(self, registers: list[Register | None]) -> int:
        """Set of root numbers."""
        result = 0
        for register in registers:
            if register is not None and not register.is_constant:
                result |= 1 << self.numbers[register.root]
        return result

    # ---- backward flow over the structure
    def _flow(self, low: int, high: int, inner: list[Construct], live: int) -> int:
        """Propagates `live` from behind position high - 1 to before low."""
        position = high - 1
        remaining = list(inner)
        while position >= low:
            if remaining and remaining[-1].end == position:
                construct = remaining.pop()
                live = self._construct(construct, live)
                position = construct.begin - 1
                continue
            live = self._step(position, live)
            position -= 1
        return live

    def _step(self, position: int, live: int) -> int:
        item = self.code[position]
        if item.mnemonic == "return_":
            live = 0
        self.live_out[position] |= live
        live = (live & ~self.mask(item.results)) | self.mask(item.operands)
        self.live_in[position] |= live
        return live

    def _construct(self, construct: Construct, live: int) -> int:
        mnemonic = self.code[construct.begin].mnemonic
        inside = construct.children
        if mnemonic == "if_begin":
            self.live_out[construct.end] |= live
            self.live_in[construct.end] |= live
            if construct.middle >= 0:
                first = [child for child in inside if child.end < construct.middle]
                second = [child for child in inside if child.begin > construct.middle]
                other = self._flow(construct.middle + 1, construct.end, second, live)
                self.live_out[construct.middle] |= live
                self.live_in[construct.middle] |= live
                then = self._flow(construct.begin + 1, construct.middle, first, live)
            else:
                other = live
                then = self._flow(construct.begin + 1, construct.end, inside, live)
            return self._step(construct.begin, then | other)
        if mnemonic == "for_begin":
            head = self.code[construct.begin]
            always = self.mask(head.operands) | live
            entry = always
            while True:
                self.live_out[construct.end] |= entry
                self.live_in[construct.end] |= entry
                body = self._flow(construct.begin + 1, construct.end, inside, entry)
                self.live_out[construct.begin] |= body | live
                following = (body & ~self.mask(head.results)) | always
                if following == entry:
                    break
                entry = following | entry
            self.live_in[construct.begin] |= entry
            return entry
        entry = 0
        while True:
            self.live_out[construct.end] |= entry
            self.live_in[construct.end] |= entry
            second = [child for child in inside if child.begin > construct.middle]
            first = [child for child in inside if child.end < construct.middle]
            body = self._flow(construct.middle + 1, construct.end, second, entry)
            tested = self._step(construct.middle, body | live)
            following = self._flow(construct.begin + 1, construct.middle, first, tested)
            if following | entry == entry:
                break
            entry |= following
        self.live_out[construct.begin] |= entry
        self.live_in[construct.begin] |= entry
        return entry

    # ---- ranges by register
    def _transpose(self) -> None:
        started: dict[int, int] = {}
        previous = 0
        for position, item in enumerate(self.code):
            defined = self.mask(item.results)
            for number in _bits(defined):
                self.written[number] |= 1 << (2 * position + 1)
            for point, current in (
                (2 * position, self.live_in[position]),
                (2 * position + 1, self.live_out[position] | defined),
            ):
                for number in _bits(previous & ~current):
                    self._add(number, started.pop(number), point)
                for number in _bits(current & ~previous):
                    started[number] = point
                previous = current
        for number, start in started.items():
            self._add(number, start, 2 * len(self.code))

    def _add(self, number: int, start: int, stop: int) -> None:
        self.live[number] |= ((1 << (stop - start)) - 1) << start

    def _forbid_sharing(self) -> None:
        """Extends an operand over the write of an instruction whose result may not take its place."""
        rows = isa.by_mnemonic()
        for position, item in enumerate(self.code):
            tiles = [result for result in item.results if result is not None and not result.is_scalar]
            if not tiles:
                continue
            form = rows[item.mnemonic].form
            for index, operand in enumerate(item.operands):
                if operand is None or operand.is_scalar:
                    continue
                allowed = (form in _IN_PLACE_FORMS) or (form in ("dot", "dot_scaled") and index == 2)
                same = all(tile.shape == operand.shape and tile.dtype.bytes == operand.dtype.bytes for tile in tiles)
                if not (allowed and same):
                    self.live[self.numbers[operand.root]] |= 1 << (2 * position + 1)


def _bits(mask: int) -> list[int]:
    result = []
    while mask:
        lowest = mask & -mask
        result.append(lowest.bit_length() - 1)
        mask ^= lowest
    return result
