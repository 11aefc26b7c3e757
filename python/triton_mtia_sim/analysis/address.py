"""Finds closed forms of index and pointer tensors, so that a load or store becomes one DMA descriptor.

An integer of n bits wraps around. A form of it is right modulo 2^n, which sums and products keep; where the number
itself counts (a pointer's offset, a comparison, a division, a wider type) the form must not wrap: that is proved, or
becomes a check that the access makes when it runs. What has no closed form is materialised: an indexed DMA.
"""

from collections.abc import Callable
from dataclasses import replace

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Affine, Piece, Pointer
from triton_mtia_sim.analysis.index_algebra import IndexAlgebra
from triton_mtia_sim.analysis.index_rules import INDEX_RULES
from triton_mtia_sim.analysis.interfaces import EffectInSpeculation, Kernel
from triton_mtia_sim.analysis.mask import MaskAnalysis
from triton_mtia_sim.analysis.pointer_rules import POINTER_RULES
from triton_mtia_sim.analysis.ranges import type_range
from triton_mtia_sim.ir.attributes import Dense
from triton_mtia_sim.ir.operations import Value
from triton_mtia_sim.ir.types import PointerType, TensorType, element_dtype, element_of, shape_of
from triton_mtia_sim.tiles.builder import Builder
from triton_mtia_sim.tiles.carried import Carried, Ways
from triton_mtia_sim.tiles.machine import Register

_STRUCTURED = ("scf.for", "scf.while", "scf.if")
_KEEPS_UNIFORMITY = ("tt.broadcast", "tt.expand_dims", "tt.reshape", "tt.trans")


class AddressAnalysis:
    """Closed forms of the values of one kernel, found on demand and remembered."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.builder = kernel.builder
        self.algebra = IndexAlgebra(self.builder)
        self.ranges = self.algebra.ranges
        self.indices: dict[Value, Affine | None] = {}
        self.exacts: dict[Value, Affine | None] = {}
        self.pointers: dict[Value, Pointer | None] = {}
        self.uniform: dict[Value, bool] = {}
        self.masks = MaskAnalysis(self)

    # ---- integers
    def affine(self, value: Value) -> Affine | None:
        """Closed form of an integer scalar or tensor, modulo 2^bits of its type."""
        if value not in self.indices:
            self.indices[value] = None  # what depends on itself has none
            self.indices[value] = self._affine(value)
        return self.indices[value]

    def exact(self, value: Value) -> Affine | None:
        """Closed form of the number that an integer scalar or tensor holds, with the checks that this needs."""
        if value not in self.exacts:
            form = self.affine(value)
            self.exacts[value] = None if form is None else self._exact(form, value)
        return self.exacts[value]

    def _exact(self, form: Affine, value: Value) -> Affine | None:
        dtype = element_dtype(value.type)
        assert dtype is not None
        if dtype is DType.I64:
            return form
        return self._within(self._reduced(form, dtype), *type_range(dtype), dtype, may_wrap=True)

    def not_negative(self, value: Value) -> Affine | None:
        """As exact, of a number that has to be >= 0."""
        form, dtype = self.affine(value), element_dtype(value.type)
        if form is None or dtype is None:
            return None
        if dtype is not DType.I64:
            form = self._reduced(form, dtype)
        return self._within(form, 0, type_range(dtype)[1], dtype)

    def _within(self, form: Affine, low: int, high: int, dtype: DType, may_wrap: bool = False) -> Affine | None:
        """A form with the check that it keeps within limits; None of one of 8 or 16 bits that is not known to.

        Those often wrap on purpose, and not so far that the bounds of memory would tell.
        """
        if dtype.bits >= 32:
            return self.algebra.checked(form, low, high, dtype.bits, may_wrap)
        least, most = self.algebra.span(form)
        return form if low <= least and most <= high else None

    def _reduced(self, form: Affine, dtype: DType) -> Affine:
        """A form with the numbers in it modulo 2^bits."""
        dimensions = tuple(
            tuple(self._reduced_piece(piece, dtype) for piece in dimension) for dimension in form.dimensions
        )
        return Affine(self._wrapped(form.offset, dtype), dimensions, form.checks)

    def _reduced_piece(self, piece: Piece, dtype: DType) -> Piece:
        carry = None if piece.carry is None else self._wrapped(piece.carry, dtype)
        return replace(piece, stride=self._wrapped(piece.stride, dtype), carry=carry)

    def _wrapped(self, number: Register, dtype: DType) -> Register:
        """A scalar modulo 2^bits of a type, as a number of that type."""
        low, high = type_range(dtype)
        least, most = self.ranges.interval(number)
        if low <= least and most <= high:
            return number
        code = number.definition
        if code is not None and code.mnemonic in ("add_i", "sub_i", "mul_i"):
            # As the kernel computes it, where the operands come from numbers of that type.
            narrow = [_narrowed(operand, dtype, self.builder) for operand in code.operands]
            if all(operand is not None for operand in narrow):
                operands = [operand for operand in narrow if operand is not None]
                return self.builder.widen(self.builder.scalar(code.mnemonic, dtype, operands))
        return self.builder.widen(self.builder.scalar("extend_s", dtype, (number,)))

    def _affine(self, value: Value) -> Affine | None:
        dtype = element_dtype(value.type)
        if dtype is None or not dtype.is_integer or dtype is DType.I1:
            return None
        shape = shape_of(value.type)
        operation = value.operation
        if not shape:
            return Affine(self.builder.widen(self.kernel.data(value)), ())
        if operation is None or operation.name in _STRUCTURED:
            return self._carried_index(value)
        if self.is_uniform(value):
            return self.algebra.uniform(self.builder.widen(self.kernel.data(value)), shape)
        rule = INDEX_RULES.get(operation.name)
        return rule(self, operation) if rule else None

    def is_uniform(self, value: Value) -> bool:
        """Whether all elements are equal by construction, so that its data is a scalar."""
        known = self.uniform.get(value)
        if known is None:
            known = self.uniform[value] = self._is_uniform(value)
        return known

    def _is_uniform(self, value: Value) -> bool:
        if not isinstance(value.type, TensorType):
            return True
        operation = value.operation
        if operation is None:
            return False
        if operation.name == "tt.splat":
            return True
        if operation.name == "arith.constant":
            constant = operation.attributes["value"]
            return isinstance(constant, Dense) and constant.is_splat
        if self.kernel.is_elementwise(operation.name) or operation.name in _KEEPS_UNIFORMITY:
            return all(self.is_uniform(operand) for operand in operation.operands)
        return False

    def uniform_scalar(self, value: Value) -> Register | None:
        """The one value of a uniform integer tensor, as I64."""
        form = self.exact(value)
        return form.offset if form is not None and form.is_uniform and not form.checks else None

    # ---- pointers
    def pointer(self, value: Value) -> Pointer | None:
        """Closed form of a pointer or a tensor of pointers."""
        if value not in self.pointers:
            self.pointers[value] = None
            self.pointers[value] = self._pointer(value)
        return self.pointers[value]

    def _pointer(self, value: Value) -> Pointer | None:
        element = element_of(value.type)
        if not isinstance(element, PointerType):
            return None
        size = self.kernel.dtype_of(element.pointee).bytes
        shape = shape_of(value.type)
        if not shape:
            return Pointer(self.kernel.data(value), size, self.algebra.uniform(self.algebra.zero, ()))
        operation = value.operation
        if operation is None or operation.name in _STRUCTURED:
            return self._carried_pointer(value)
        rule = POINTER_RULES.get(operation.name)
        return rule(self, operation) if rule else None

    def address(self, pointer: Pointer) -> Register:
        """Byte address of the element at coordinates zero, residuals aside."""
        offset = self.builder.multiply(pointer.index.offset, self.builder.integer(pointer.element_bytes))
        return self.builder.add(pointer.base, offset)

    # ---- what loops and branches carry: an offset or address moves, everything else stays as it comes in
    def _carried_index(self, value: Value) -> Affine | None:
        way = self._ways(value)
        if way is None or self._fails_inside(value, self.affine):
            return None
        first = self.affine(way.sources[0][0])
        if first is None:
            return None

        def attempt(carried: Carried) -> bool:
            if way.home is not self.kernel.after.get(way.operation):
                self.indices[value] = replace(first, offset=carried.register)
            sources: list[Register | None] = []
            for source, _ in way.sources:
                form = self.affine(source)
                if form is None or form.dimensions != first.dimensions or form.checks != first.checks:
                    return False
                sources.append(form.offset)
            carried.sources = sources
            return True

        carried = self._carry(way, "index", value, attempt)
        return None if carried is None else replace(first, offset=carried)

    def _carried_pointer(self, value: Value) -> Pointer | None:
        way = self._ways(value)
        if way is None or self._fails_inside(value, self.pointer):
            return None
        first = self.pointer(way.sources[0][0])
        if first is None:
            return None
        still = replace(first.index, offset=self.algebra.zero)

        def attempt(carried: Carried) -> bool:
            if way.home is not self.kernel.after.get(way.operation):
                self.pointers[value] = replace(first, base=carried.register, index=still)
            sources: list[Register | None] = []
            for source, _ in way.sources:
                form = self.pointer(source)
                if form is None or form.index.dimensions != still.dimensions or form.index.checks != still.checks:
                    return False
                if form.residuals != first.residuals:
                    return False
                sources.append(self.address(form))
            carried.sources = sources
            return True

        carried = self._carry(way, "address", value, attempt)
        return None if carried is None else replace(first, base=carried, index=still)

    def _ways(self, value: Value) -> Ways | None:
        """How control brings a value in, None where this is no for, while or if; a loop's result is what it carries."""
        owner = value.operation if value.block is None else value.block.owner
        if owner is None or owner.name not in _STRUCTURED:
            return None
        if owner.name == "scf.for" and value.block is not None and value.index == 0:
            return None
        return self.kernel.carried_scalars.ways(value)

    def _fails_inside(self, value: Value, find: Callable[[Value], object]) -> bool:
        """Whether a result of a for loop has no form because what the loop carries has none."""
        operation = value.operation
        if operation is None or operation.name != "scf.for":
            return False
        return find(operation.regions[0].block.arguments[value.index + 1]) is None

    def _carry(self, way: Ways, kind: str, value: Value, attempt: Callable[[Carried], bool]) -> Register | None:
        """A carried scalar whose sources `attempt` finds; None where it finds none, and all it derived is forgotten."""
        control = self.kernel.carried_scalars
        key = (kind, way.index)
        carried = control.carried.get(way.owner, {}).get(key)
        if carried is None:
            carried = control.carry_scalar(way, key)
            if not self._speculate(attempt, carried):
                control.forget(way, key)
                return None
        return carried.register if value.operation is None else carried.final

    def _speculate(self, attempt: Callable[[Carried], bool], carried: Carried) -> bool:
        """Runs an attempt; where it fails, forgets everything that was derived from its assumption."""
        kernel = self.kernel
        known = {owner: set(items) for owner, items in kernel.carried_scalars.carried.items()}
        indices, exacts, pointers = dict(self.indices), dict(self.exacts), dict(self.pointers)
        uniform, masks, registers = dict(self.uniform), dict(self.masks.known), dict(kernel.registers)
        written = len(kernel.asserted)
        kernel.speculations += 1
        try:
            succeeded = attempt(carried)
        except EffectInSpeculation:
            succeeded = False
        finally:
            kernel.speculations -= 1
        if succeeded:
            return True
        self.indices, self.exacts, self.pointers = indices, exacts, pointers
        self.uniform, self.masks.known, kernel.registers = uniform, masks, registers
        for bucket, code in kernel.asserted[written:]:
            bucket.code.remove(code)
        del kernel.asserted[written:]
        for owner, items in kernel.carried_scalars.carried.items():
            for key in [key for key in items if key not in known.get(owner, ()) and _is_derived(key)]:
                del items[key]
        return False


def _narrowed(register: Register | None, dtype: DType, builder: Builder) -> Register | None:
    """The number of a type that a wider scalar was extended from, or a constant; None for anything else."""
    if register is None or register.is_constant:
        return None if register is None else builder.integer(register.integer, dtype)
    code = register.definition
    if code is None or code.mnemonic != "extend_s" or code.operands[0] is None or code.operands[0].dtype is not dtype:
        return None
    return code.operands[0]


def _is_derived(key: object) -> bool:
    return isinstance(key, tuple) and key[0] in ("index", "address")
