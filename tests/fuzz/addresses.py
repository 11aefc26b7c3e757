"""Random index, pointer and mask tensors: the forms that kernels write, and some that nobody would."""

from tests.fuzz import semantics
from tests.fuzz.generator import Generator
from tests.fuzz.kernel import Shape, Type, Value

_COMPARISONS = (2, 3, 4, 5, 2, 2, 6, 7, 8, 9, 0, 1)


class Addresses:
    """Makes what a load, store or atomic of one shape needs. `parts` are the index tensors of each dimension."""

    def __init__(self, generator: Generator, shape: Shape) -> None:
        self.g = generator
        self.shape = shape
        self.rank = len(shape)
        self.parts: list[Value] = []
        self.whole: list[Value] = []

    # ---- indices
    def coordinate(self, dimension: int) -> Value:
        """A tensor of rank 1: a range, from a program's or loop's start on, or going down."""
        g = self.g
        size = self.shape[dimension]
        value = g.range(size, g.random.choice((0, 0, 0, 1, 5)))
        if g.chance(0.4):
            start = g.program_id()
            start = g.binary("arith.muli", start, g.scalar("i32", g.random.choice((size, size, size // 2 + 1, 3))))
            value = g.binary("arith.addi", g.splat(start, (size,)), value)
        loop = g.find(lambda item: item.type == Type("i32"))
        if loop is not None and g.chance(0.15):
            small = g.binary("arith.andi", loop, g.constant(Type("i32"), 15))
            value = g.binary("arith.addi", value, g.splat(small, (size,)))
        if g.chance(0.1):
            value = g.binary("arith.subi", g.splat(g.scalar("i32", size + 2), (size,)), value)
        if g.chance(0.15):
            divisor = g.random.choice((size, max(1, size // 2), 3, 5, 7, 2 * size))
            name = g.random.choice(("arith.remsi", "arith.remsi", "arith.remui", "arith.divsi"))
            value = g.binary(name, value, g.splat(g.scalar("i32", divisor), (size,)))
        if g.chance(0.1):
            big = g.scalar("i32", g.random.choice((2**31 - 5, -(2**31) + 3, 2**30)))
            value = g.binary("arith.addi", value, g.splat(big, (size,)))
            value = g.binary("arith.subi", value, g.splat(big, (size,)))
        return value

    def scaled(self, value: Value, stride: int) -> Value:
        """value * stride, in 32 or 64 bits, in one of several ways."""
        g = self.g
        if g.chance(0.25) or abs(stride) >= 2**31:
            value = g.cast(value, "i64")
        dtype = value.type.dtype
        if stride == 1 and g.chance(0.6):
            return value
        if stride > 0 and stride & (stride - 1) == 0 and g.chance(0.3):
            return g.binary("arith.shli", value, g.constant(Type(dtype, value.type.shape), stride.bit_length() - 1))
        return g.binary("arith.muli", value, g.splat(g.scalar(dtype, stride), value.type.shape))

    def same_width(self, a: Value, b: Value) -> tuple[Value, Value]:
        if a.type.dtype != b.type.dtype:
            return self.g.cast(a, "i64"), self.g.cast(b, "i64")
        return a, b

    def total(self, a: Value, b: Value) -> Value:
        return self.g.binary("arith.addi", *self.same_width(a, b))

    def separable(self, strides: list[int]) -> list[Value]:
        """One index tensor a dimension, of size 1 in the others."""
        result = []
        for dimension, stride in enumerate(strides):
            line = self.coordinate(dimension)
            if self.g.chance(0.5):
                line = self.g.along(line, dimension, self.rank)
                self.parts.append(line)
                result.append(self.scaled(line, stride))
            else:
                scaled = self.scaled(line, stride)
                self.parts.append(self.g.along(line, dimension, self.rank))
                result.append(self.g.along(scaled, dimension, self.rank))
        return result

    def linear(self) -> Value:
        """Numbers the elements of the tile in row-major order, from the program's first on."""
        g = self.g
        count = semantics.product(self.shape)
        value = g.range(count)
        if g.chance(0.6):
            start = g.binary("arith.muli", g.program_id(), g.scalar("i32", g.random.choice((count, count, 24))))
            value = g.binary("arith.addi", g.splat(start, (count,)), value)
        if g.chance(0.2):
            value = g.cast(value, "i64")
        if self.rank > 1:
            value = g.make("tt.reshape", [value], value.type.with_shape(self.shape))
        return value

    def divided(self) -> Value:
        """A linear index taken apart by div and mod, and put together with other strides."""
        g = self.g
        linear = self.linear()
        self.whole.append(linear)
        dtype = linear.type.dtype
        inner = g.random.choice((2, 4, 8, 16, 64, 3, 10, 24, 256))
        middle = g.random.choice((2, 4, 8, 3, 5))
        unsigned = g.chance(0.3)

        def splat(value: int) -> Value:
            return g.splat(g.scalar(dtype, value), self.shape)

        def divide(value: Value, by: int) -> Value:
            if by & (by - 1) == 0 and g.chance(0.2):
                amount = g.constant(value.type, by.bit_length() - 1)
                return g.binary("arith.shrui" if unsigned else "arith.shrsi", value, amount)
            return g.binary("arith.divui" if unsigned else "arith.divsi", value, splat(by))

        def remainder(value: Value, by: int) -> Value:
            if by & (by - 1) == 0 and g.chance(0.2):
                return g.binary("arith.andi", value, g.constant(value.type, by - 1))
            return g.binary("arith.remui" if unsigned else "arith.remsi", value, splat(by))

        strides = [g.random.choice((0, 1, 1, 2, 5, 16, inner)) for _ in range(3)]
        x0 = remainder(linear, inner)
        rest = divide(linear, inner)
        parts = [(x0, strides[0])]
        if g.chance(0.5):
            parts.append((remainder(rest, middle), strides[1]))
            parts.append((divide(linear, inner * middle) if g.chance(0.5) else divide(rest, middle), strides[2]))
        else:
            parts.append((rest, strides[1]))
        g.random.shuffle(parts)
        total = self.scaled(*parts[0])
        for value, stride in parts[1:]:
            total = self.total(total, self.scaled(value, stride))
        return total

    def arbitrary(self) -> Value:
        """Numbers that no closed form describes."""
        g = self.g
        dtype = g.random.choice(("i8", "i16", "i32", "i64"))
        type_ = Type(dtype, self.shape)
        value = g.binary("arith.xori", g.operand(type_), g.operand(type_))
        value = g.binary("arith.andi", value, g.constant(type_, 127))
        if dtype in ("i32", "i64") or g.chance(0.3):
            return value
        return g.cast(value, g.random.choice(("i32", "i64")), g.chance(0.7))

    def injective(self) -> Value:
        """Distinct places for each element and program."""
        g = self.g
        order = list(range(self.rank))
        g.random.shuffle(order)
        strides = [0] * self.rank
        step = g.random.choice((1, 1, 1, 2, 3))
        for dimension in order:
            strides[dimension] = step * g.random.choice((1, 1, -1))
            step *= self.shape[dimension]
        parts = []
        for dimension, stride in enumerate(strides):
            line = g.range(self.shape[dimension])
            line = g.along(line, dimension, self.rank)
            self.parts.append(line)
            parts.append(self.scaled(line, stride))
        total: Value | None = None
        for part in parts:
            wide = g.broadcast(part, self.shape)
            total = wide if total is None else self.total(total, wide)
        assert total is not None
        if g.grid > 1 or g.chance(0.3):
            start = g.binary("arith.muli", g.program_id(), g.scalar("i32", step))
            start = g.cast(start, total.type.dtype)
            total = g.binary("arith.addi", total, g.splat(start, self.shape))
        return total

    def index(self, injective: bool) -> list[Value]:
        """Index tensors to add to a pointer, one after the other."""
        g = self.g
        kind = g.random.random()
        if injective and kind < 0.7:
            return [self.injective()]
        if kind < 0.55:
            strides = [g.random.choice((0, 1, 1, 1, 2, 3, 8, -1, -2, 16, 37, 2**33)) for _ in self.shape]
            parts = self.separable(strides)
            if g.chance(0.5):
                return parts
            total = g.broadcast(parts[0], self.shape)
            for part in parts[1:]:
                total = self.total(total, g.broadcast(part, self.shape))
            return [total]
        if kind < 0.85:
            return [self.divided()]
        return [self.arbitrary()]

    def pointer(self, base: Value, injective: bool = False) -> Value:
        """A tensor of pointers into the buffer of a scalar pointer."""
        g = self.g
        if g.chance(0.3):
            offset = g.scalar(g.random.choice(("i32", "i64")), g.random.randint(-40, 40))
            base = g.make("tt.addptr", [base, offset], base.type)
        if g.chance(0.08):
            other = g.make("tt.addptr", [base, g.scalar("i32", g.random.randint(-30, 30))], base.type)
            base = g.make("arith.select", [self.condition(), base, other], base.type)
        indices = self.index(injective)
        shape = indices[0].type.shape
        pointer = g.splat(base, shape)
        for index in indices:
            if index.type.shape != pointer.type.shape:
                pointer = g.broadcast(pointer, self.joined(pointer.type.shape, index.type.shape))
                index = g.broadcast(index, pointer.type.shape)
            pointer = g.make("tt.addptr", [pointer, index], pointer.type)
        pointer = g.broadcast(pointer, self.shape)
        if g.chance(0.06) and not injective:
            moved = g.make("tt.addptr", [pointer, g.constant(Type("i32", self.shape), 7)], pointer.type)
            condition = self.mask() if g.chance(0.5) else self.condition()
            pointer = g.make("arith.select", [condition, pointer, moved], pointer.type)
        return pointer

    @staticmethod
    def joined(a: Shape, b: Shape) -> Shape:
        return tuple(max(x, y) for x, y in zip(a, b, strict=True))

    # ---- masks
    def condition(self) -> Value:
        """A scalar condition."""
        g = self.g
        left = g.find(lambda item: item.type == Type("i32")) or g.program_id()
        return g.compare(g.random.choice(_COMPARISONS), left, g.scalar("i32", g.random.randint(-2, 6)))

    def boundary(self) -> Value:
        """A comparison of one dimension's index, or of the whole, with a bound."""
        g = self.g
        candidates = self.whole if self.whole and g.chance(0.6) else self.parts
        if not candidates:
            dimension = g.random.randrange(self.rank)
            candidates = [g.along(self.coordinate(dimension), dimension, self.rank)]
        index = g.random.choice(candidates)
        count = max(index.type.shape)
        bound = g.scalar(index.type.dtype, g.random.choice((count // 2, count - 1, count, 2 * count, 0, 3, -1)))
        limit = g.splat(bound, index.type.shape)
        predicate = g.random.choice(_COMPARISONS)
        pair = (index, limit) if g.chance(0.8) else (limit, index)
        return g.broadcast(g.compare(predicate, *pair), self.shape)

    def mask(self, depth: int = 0) -> Value:
        g = self.g
        type_ = Type("i1", self.shape)
        kind = g.random.random()
        if depth < 3 and kind < 0.35:
            return g.binary("arith.andi", self.mask(depth + 1), self.mask(depth + 1))
        if depth < 3 and kind < 0.42:
            name = g.random.choice(("arith.ori", "arith.xori"))
            return g.binary(name, self.mask(depth + 1), self.mask(depth + 1))
        if kind < 0.8:
            return self.boundary()
        if kind < 0.88:
            return g.splat(self.condition(), self.shape)
        if kind < 0.95:
            like = Type(g.random.choice(("i8", "i32", "i64")), self.shape)
            return g.compare(g.random.randrange(10), g.operand(like), g.operand(like))
        return g.constant(type_, g.chance(0.8))

    def inside(self, pointer_index: Value, low: int, high: int) -> Value:
        """Holds where low <= index < high."""
        g = self.g
        type_ = pointer_index.type
        above = g.compare(5, pointer_index, g.constant(type_, low))
        below = g.compare(2, pointer_index, g.constant(type_, high))
        return g.binary("arith.andi", above, below)
