"""Random statements: arithmetic, shapes, reductions, products, memory, loops and branches."""

import os
import random
from collections.abc import Callable

from tests.fuzz import semantics
from tests.fuzz.addresses import Addresses
from tests.fuzz.generator import Generator
from tests.fuzz.kernel import BITS, FLOATS, INTEGERS, Block, Kernel, Operation, Shape, Type, Value

# Checked mode refuses what depends on lanes without a value; the emulator and the interpretation have zeros there.
gives_lanes_values = os.environ.get("MTIA_SIM_CHECK", "0") not in ("", "0")
_FAST = "fastmath = #arith.fastmath<none>"


def make_kernel(seed: object) -> Kernel:
    """The kernel of a seed, always the same."""
    statements = Statements(Generator(random.Random(str(seed))))
    statements.several(statements.g.random.randint(3, 9))
    for _ in range(statements.g.random.randint(1, 3)):
        statements.store()
    return statements.g.kernel()


class Statements:
    """Adds statements to a kernel."""

    def __init__(self, generator: Generator) -> None:
        self.g = generator
        self.shapes = [generator.shape() for _ in range(2)]
        self.depth = 0

    def several(self, count: int) -> None:
        for _ in range(count):
            names, weights = zip(*self.choices(), strict=True)
            self.g.random.choices(names, weights)[0]()

    def choices(self) -> list[tuple[Callable[[], object], float]]:
        control = 0.0 if self.depth >= 2 else 1.0
        return [
            (self.load, 5),
            (self.store, 2),
            (self.integer_arithmetic, 3),
            (self.float_arithmetic, 3),
            (self.conversion, 2),
            (self.selection, 1.5),
            (self.movement, 2),
            (self.reduction, 2),
            (self.product, 0.8),
            (self.atomic, 1),
            (self.for_loop, 2 * control),
            (self.branch, 1.5 * control),
            (self.while_loop, 0.6 * control),
        ]

    # ---- choices
    def shape(self) -> Shape:
        return self.g.random.choice(self.shapes)

    def type(self, dtypes: tuple[str, ...] = (*INTEGERS, *FLOATS)) -> Type:
        return Type(self.g.random.choice(dtypes), self.shape())

    # ---- memory
    def load(self) -> None:
        g = self.g
        shape = self.shape()
        dtype = g.random.choice((*INTEGERS, *FLOATS, "i32", "f32"))
        addresses = Addresses(g, shape)
        pointer = addresses.pointer(g.buffer(dtype).pointer)
        mask = addresses.mask() if g.chance(0.7) else None
        other = None
        if mask is not None and g.chance(0.6):
            other = g.operand(Type(dtype, shape))
        elif mask is not None and gives_lanes_values:
            other = g.constant(Type(dtype, shape), 0 if dtype in INTEGERS else 0.0)
        g.load(pointer, mask, other)

    def store(self) -> None:
        g = self.g
        found = g.find(lambda value: bool(value.type.shape) and not value.type.pointer and value.type.dtype != "i1")
        value = found if found is not None and g.chance(0.9) else g.operand(self.type())
        addresses = Addresses(g, value.type.shape)
        pointer = addresses.pointer(g.buffer(value.type.dtype, not value.exact).pointer, True)
        g.store(pointer, value, addresses.mask() if g.chance(0.6) else None)

    def atomic(self) -> None:
        g = self.g
        dtype = g.random.choice(("i32", "i64", "f32", "i32"))
        shape = self.shape()
        if semantics.product(shape) > 64:
            return
        addresses = Addresses(g, shape)
        pointer = addresses.pointer(g.buffer(dtype).pointer)
        type_ = Type(dtype, shape)
        value = g.operand(type_)
        attributes = "scope = 1 : i32, sem = 4 : i32"
        if dtype != "f32" and g.chance(0.25):
            expected = g.operand(type_)
            g.make("tt.atomic_cas", [pointer, expected, value], type_, attributes, dtype=dtype)
            return
        kind = 5 if dtype == "f32" else g.random.choice((1, 2, 3, 4, 4, 6, 7, 8, 9, 10))
        operands = [pointer, value, addresses.mask()] if g.chance(0.6) else [pointer, value]
        properties = f"atomic_rmw_op = {kind} : i32, {attributes}"
        g.make("tt.atomic_rmw", operands, type_, properties, kind=kind, dtype=dtype)

    # ---- arithmetic
    def integer_arithmetic(self) -> None:
        g = self.g
        type_ = self.type(INTEGERS)
        name = g.random.choice(tuple(semantics.INTEGER_BINARY))
        a, b = g.operand(type_), g.operand(type_)
        if "sh" in name[6:8]:
            b = g.binary("arith.andi", b, g.constant(type_, BITS[type_.dtype] - 1))
        elif "div" in name or "rem" in name:
            b = g.binary("arith.andi", b, g.constant(type_, 63))
            b = g.binary("arith.ori", b, g.constant(type_, 1))
        g.binary(name, a, b)

    def float_arithmetic(self) -> None:
        g = self.g
        type_ = self.type(FLOATS)
        kind = g.random.random()
        if kind < 0.15 and type_.dtype == "f32":
            name = g.random.choice(tuple(semantics.APPROXIMATE_UNARY))
            g.make(name, [g.operand(type_)], type_, _FAST, False)
        elif kind < 0.4:
            name = g.random.choice(tuple(semantics.FLOAT_UNARY))
            if type_.dtype not in ("f32", "f64") and name == "math.sqrt":
                return
            g.make(name, [g.operand(type_)], type_, _FAST)
        elif kind < 0.5:
            inexact = g.find(lambda value: value.type.is_float and not value.exact and bool(value.type.shape))
            if inexact is not None:
                name = g.random.choice(("arith.addf", "arith.subf", "arith.mulf"))
                g.binary(name, inexact, g.operand(inexact.type))
        else:
            name = g.random.choice(tuple(semantics.FLOAT_BINARY))
            if type_.dtype in ("f16", "bf16") and name in ("arith.divf", "arith.remf"):
                name = "arith.mulf"
            result = g.binary(name, g.operand(type_), g.operand(type_))
            if name.startswith(("arith.max", "arith.min")):
                g.binary("arith.addf", result, g.constant(type_, 0.0))  # of two zeros either may win
                g.scopes[-1].remove(result)

    def conversion(self) -> None:
        g = self.g
        source, target = self.type(), self.type().dtype
        if source.dtype == target:
            return
        value = g.operand(source)
        if source.is_integer and target.startswith("i"):
            g.cast(value, target, g.chance(0.5))
        elif source.is_integer:
            if source.dtype == "i64" and target not in ("f32", "f64"):
                return
            g.make(g.random.choice(("arith.sitofp", "arith.uitofp")), [value], source.with_dtype(target))
        elif target.startswith("i"):
            low, high = g.constant(source, -100.0), g.constant(source, 100.0)
            value = g.binary("arith.minnumf", g.binary("arith.maxnumf", value, low), high)
            g.make("arith.fptosi", [value], source.with_dtype(target))
        else:
            wider = BITS[target] > BITS[source.dtype]
            if BITS[target] != BITS[source.dtype]:
                name = "arith.extf" if wider else "arith.truncf"
                g.make(name, [value], source.with_dtype(target))

    def selection(self) -> None:
        g = self.g
        type_ = self.type()
        if g.chance(0.5) and type_.is_float:
            a, b = g.operand(type_), g.operand(type_)
            predicate = g.random.randrange(16)
            properties = f"{_FAST}, predicate = {predicate} : i64"
            condition = g.make("arith.cmpf", [a, b], type_.with_dtype("i1"), properties, predicate=predicate)
        else:
            condition = Addresses(g, type_.shape).mask()
        g.make("arith.select", [condition, g.operand(type_), g.operand(type_)], type_)

    # ---- shapes
    def movement(self) -> None:
        g = self.g
        type_ = self.type((*INTEGERS, *FLOATS))
        shape = type_.shape
        kind = g.random.choice(("trans", "reshape", "join", "cat", "gather", "histogram", "expand"))
        value = g.operand(type_)
        if kind == "trans" and len(shape) > 1:
            order = list(range(len(shape)))
            g.random.shuffle(order)
            properties = f"order = array<i32: {', '.join(map(str, order))}>"
            g.make("tt.trans", [value], type_.with_shape([shape[axis] for axis in order]), properties, order=order)
        elif kind == "reshape":
            count = semantics.product(shape)
            inner = g.random.choice([size for size in (1, 2, 4, 8, 16, 32, 64) if count % size == 0])
            target = g.random.choice([(count,), (count // inner, inner)])
            g.make("tt.reshape", [value], type_.with_shape(target))
        elif kind == "join" and semantics.product(shape) <= 256 and len(shape) < 3:
            joined = g.make("tt.join", [value, g.operand(type_)], type_.with_shape((*shape, 2)))
            if g.chance(0.5):
                g.emit(Operation("tt.split", [joined], [Value(type_), Value(type_)]))
        elif kind == "cat" and len(shape) == 1 and shape[0] <= 128:
            g.make("tt.cat", [value, g.operand(type_)], type_.with_shape((2 * shape[0],)))
        elif kind == "gather":
            axis = g.random.randrange(len(shape))
            index_type = Type("i32", shape)
            index = g.binary("arith.andi", g.operand(index_type), g.constant(index_type, shape[axis] - 1))
            g.make("tt.gather", [value, index], type_, f"axis = {axis} : i32", axis=axis)
        elif kind == "histogram" and len(shape) == 1 and shape[0] > 1:
            index_type = Type("i32", shape)
            bins = g.random.choice((4, 16))
            index = g.binary("arith.andi", g.operand(index_type), g.constant(index_type, bins - 1))
            g.make("tt.histogram", [index], Type("i32", (bins,)))
        elif kind == "expand" and len(shape) < 3:
            wide = g.expand(value, g.random.randrange(len(shape) + 1))
            target = [size if size > 1 else g.random.choice((1, 2, 4)) for size in wide.type.shape]
            if semantics.product(target) <= 512:
                g.broadcast(wide, tuple(target))

    # ---- reductions and products
    def reduction(self) -> None:
        g = self.g
        type_ = self.type()
        axis = g.random.randrange(len(type_.shape))
        if type_.is_integer:
            name = g.random.choice(("addi", "maxsi", "minsi", "maxui", "minui", "xori", "andi", "ori", "muli", "addi"))
        else:
            name = g.random.choice(("addf", "addf", "maxnumf", "minnumf"))
        operand = g.operand(type_)
        combiner = Block([Value(Type(type_.dtype)), Value(Type(type_.dtype))])
        result = Value(Type(type_.dtype))
        combiner.operations.append(
            Operation(f"arith.{name}", list(combiner.arguments), [result], {}, _combiner_properties(name))
        )
        combiner.outputs = [result]
        scan = g.chance(0.4)
        reverse = g.chance(0.4)
        shape = type_.shape if scan else tuple(size for d, size in enumerate(type_.shape) if d != axis)
        properties = f"axis = {axis} : i32" + (f", reverse = {'true' if reverse else 'false'}" if scan else "")
        made = g.make(
            "tt.scan" if scan else "tt.reduce",
            [operand],
            type_.with_shape(shape),
            properties,
            name != "addf",
            axis=axis,
            combiner=f"arith.{name}",
            reverse=reverse,
        )
        g.block.operations[-1].regions.append(combiner)
        if name in ("maxnumf", "minnumf"):
            g.scopes[-1].remove(made)
            made = g.binary("arith.addf", made, g.constant(made.type, 0.0))
        if not shape and made.type.dtype != "i1":
            g.splat(made, self.shape())

    def product(self) -> None:
        g = self.g
        m, n, k = (g.random.choice((2, 4, 8, 16)) for _ in range(3))
        pair, wide = g.random.choice((("f32", "f32"), ("f16", "f32"), ("bf16", "f32"), ("i8", "i32"), ("f64", "f64")))
        a, b = g.operand(Type(pair, (m, k))), g.operand(Type(pair, (k, n)))
        c = g.operand(Type(wide, (m, n)))
        properties = "inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32"
        g.make("tt.dot", [a, b, c], Type(wide, (m, n)), properties, wide == "i32")

    # ---- control flow
    def nested(self, block: Block, count: int) -> None:
        """Statements in a block of their own."""
        g = self.g
        outer, g.block = g.block, block
        g.scopes.append(list(block.arguments))
        self.depth += 1
        self.several(count)
        self.depth -= 1
        g.block = outer

    def leave(self) -> None:
        self.g.scopes.pop()

    def carried(self) -> list[Value]:
        """Values for a loop to carry: numbers, tiles, indices and pointers."""
        g = self.g
        result = []
        for _ in range(g.random.randint(0, 2)):
            result.append(g.operand(self.type()))
        if g.chance(0.5):
            shape = self.shape()
            addresses = Addresses(g, shape)
            result.append(addresses.pointer(g.buffer(g.random.choice((*INTEGERS, *FLOATS))).pointer))
        if g.chance(0.4):
            result.append(g.scalar("i32", g.random.randint(-3, 9)))
        if g.chance(0.3):
            shape = self.shape()
            index = Addresses(g, shape).index(False)
            if len(index) == 1:
                result.append(index[0])
        return [value for value in result if value.exact]

    def following(self, value: Value) -> Value:
        """What the next iteration gets in the place of a carried value."""
        g = self.g
        type_ = value.type
        if type_.pointer:
            kind = g.random.random()
            if kind < 0.15:
                return value
            step = g.random.choice((1, 4, 16, -1, 3))
            if kind < 0.75 or not type_.shape:
                offset = g.splat(g.scalar(g.random.choice(("i32", "i64")), step), type_.shape)
            else:
                offset = g.operand(Type("i32", type_.shape))
                offset = g.binary("arith.andi", offset, g.constant(offset.type, 3))
            moved = g.make("tt.addptr", [value, offset], type_)
            if g.chance(0.6) and type_.shape:
                mask = Addresses(g, type_.shape).mask() if g.chance(0.6) else None
                g.load(value if g.chance(0.7) else moved, mask, None)
            return moved
        if type_.is_integer and g.chance(0.5):
            return g.binary(
                "arith.addi", value, g.splat(g.scalar(type_.dtype, g.random.choice((1, 4, 7))), type_.shape)
            )
        return g.operand(type_)

    def for_loop(self) -> None:
        g = self.g
        step = g.random.choice((1, 1, 2, 4))
        low = g.random.choice((0, 0, 0, 1, -3))
        high = low + step * g.random.choice((0, 1, 2, 3, 3)) - g.random.choice((0, 0, 1))
        dtype = g.random.choice(("i32", "i32", "i64"))
        bounds = [g.scalar(dtype, low), g.scalar(dtype, high), g.scalar(dtype, step)]
        initial = self.carried()
        body = Block([Value(Type(dtype)), *(Value(value.type) for value in initial)])
        self.nested(body, g.random.randint(1, 4))
        outer, g.block = g.block, body
        body.outputs = [self.following(value) for value in body.arguments[1:]]
        g.block = outer
        self.leave()
        results = [Value(value.type) for value in initial]
        g.emit(Operation("scf.for", [*bounds, *initial], results, {}, "", [body]))

    def branch(self) -> None:
        g = self.g
        condition = Addresses(g, self.shape()).condition()
        types = [self.type() for _ in range(g.random.randint(0, 2))]
        if g.chance(0.2):
            types.append(Type("i32", self.shape()))
        pointers = []
        if g.chance(0.2):
            shape = self.shape()
            base = g.buffer(g.random.choice((*INTEGERS, *FLOATS))).pointer
            pointers = [Addresses(g, shape).pointer(base) for _ in range(2)]
        regions = []
        for way in range(2):
            region = Block()
            if way == 1 and not (types or pointers) and g.chance(0.5):
                regions.append(region)
                break
            self.nested(region, g.random.randint(1, 3))
            outer, g.block = g.block, region
            region.outputs = [g.operand(type_) for type_ in types]
            if pointers:
                region.outputs.append(pointers[way])
            g.block = outer
            self.leave()
            regions.append(region)
        results = [Value(type_) for type_ in types] + [Value(pointers[0].type) for _ in pointers[:1]]
        g.emit(Operation("scf.if", [condition], results, {}, "", regions))
        if pointers:
            g.load(results[-1], None, None)

    def while_loop(self) -> None:
        g = self.g
        counter, limit = g.scalar("i32", 0), g.scalar("i32", g.random.randint(0, 4))
        initial = [counter, *self.carried()]
        before = Block([Value(value.type) for value in initial])
        outer, g.block = g.block, before
        g.scopes.append(list(before.arguments))
        condition = g.compare(2, before.arguments[0], limit)
        g.block = outer
        self.leave()
        before.outputs = [condition, *before.arguments]
        after = Block([Value(value.type) for value in initial])
        self.nested(after, g.random.randint(1, 3))
        outer, g.block = g.block, after
        step = g.constant(Type("i32"), 1)
        after.outputs = [g.binary("arith.addi", after.arguments[0], step)]
        after.outputs += [self.following(value) for value in after.arguments[1:]]
        g.block = outer
        self.leave()
        results = [Value(value.type) for value in initial]
        g.emit(Operation("scf.while", initial, results, {}, "", [before, after]))


def _combiner_properties(name: str) -> str:
    if name.endswith("f"):
        return _FAST
    return "overflowFlags = #arith.overflow<none>" if name in ("addi", "muli") else ""
