"""The tile program container: what the compiler makes and csrc/program verifies, decodes and runs."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from mtia_core import isa
from mtia_core.dtypes import DType
from mtia_core.errors import InvalidProgram

MAGIC = b"MTIAPROG"
FORMAT_VERSION = 3
ABSENT = 0xFFFFFFFF


class ValueKind(IntEnum):
    SCALAR = 0
    CONSTANT = 1
    TILE = 2


@dataclass(frozen=True)
class Argument:
    """One launch argument: its name, whether it is a device address, and the value it sets."""

    name: str
    is_pointer: bool
    dtype: DType
    value: int


@dataclass(frozen=True)
class Slot:
    """A place in local memory, in bytes; `buffers` copies of it rotate, so that a load can run ahead of its readers."""

    offset: int
    bytes: int
    buffers: int


@dataclass(frozen=True)
class Value:
    """A register: a scalar, a constant with fixed bits, or a tile on a slot."""

    kind: ValueKind
    dtype: DType
    dims: tuple[int, ...] = ()
    slot: int = 0
    bits: int = 0


@dataclass(frozen=True)
class Location:
    """A place in the kernel's source."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Instruction:
    """One instruction; results and operands are value ids, None where absent."""

    mnemonic: str
    results: tuple[int | None, ...]
    operands: tuple[int | None, ...]
    attributes: tuple[int, ...] = ()
    location: int | None = None


@dataclass(frozen=True)
class ValueName:
    """What the kernel's source calls a value once an instruction has run."""

    instruction: int
    value: int
    name: str


@dataclass
class TileProgram:
    """A kernel for one PE of the grid."""

    name: str
    arguments: list[Argument] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    names: list[ValueName] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    waits_for_products: bool = False  # dot_waited_fraction of a chip

    @property
    def local_memory_bytes(self) -> int:
        """Highest byte of local memory that any slot reaches."""
        return max((slot.offset + slot.bytes * slot.buffers for slot in self.slots), default=0)

    def string(self, text: str) -> int:
        """Number of `text` in the string table, added if it is new."""
        if text not in self.strings:
            self.strings.append(text)
        return self.strings.index(text)

    def encode(self) -> bytes:
        """The serialised program, in the format that csrc/program/serialise.h describes."""
        body = bytearray()
        u32 = struct.Struct("<I")

        def put(*numbers: int) -> None:
            for number in numbers:
                body.extend(u32.pack(number))

        numbers: dict[str, int] = {text: index for index, text in enumerate(self.strings)}

        def intern(text: str) -> int:
            return numbers.setdefault(text, len(numbers))

        put(intern(self.name), self.local_memory_bytes, int(self.waits_for_products))
        put(len(self.arguments))
        for argument in self.arguments:
            body.extend(
                struct.pack("<IBBHI", intern(argument.name), argument.is_pointer, argument.dtype, 0, argument.value)
            )
        put(len(self.slots))
        for slot in self.slots:
            put(slot.offset, slot.bytes, slot.buffers)
        put(len(self.values))
        for value in self.values:
            body.extend(
                struct.pack(
                    "<BBBBIQ", value.kind, value.dtype, len(value.dims), 0, value.slot, value.bits & (2**64 - 1)
                )
            )
            put(*value.dims)
        put(len(self.locations))
        for location in self.locations:
            put(intern(location.file), location.line, location.column)
        put(len(self.instructions))
        opcodes = isa.by_mnemonic()
        head = struct.Struct("<HHHHI")
        for instruction in self.instructions:
            results, operands, attributes = instruction.results, instruction.operands, instruction.attributes
            location_number = ABSENT if instruction.location is None else instruction.location
            opcode = opcodes[instruction.mnemonic].opcode
            body.extend(head.pack(opcode, len(results), len(operands), len(attributes), location_number))
            ids = [ABSENT if item is None else item for item in (*results, *operands)]
            body.extend(struct.pack(f"<{len(ids)}I{len(attributes)}q", *ids, *attributes))
        put(len(self.names))
        for name in self.names:
            put(name.instruction, name.value, intern(name.name))
        strings = bytearray(u32.pack(len(numbers)))
        for text in numbers:
            encoded = text.encode()
            strings.extend(u32.pack(len(encoded)) + encoded)
        payload = bytes(strings + body)
        header = struct.pack("<IIII", FORMAT_VERSION, isa.fingerprint(), len(payload), zlib.crc32(payload))
        return MAGIC + header + payload

    @staticmethod
    def decode(data: bytes) -> "TileProgram":
        """Reads a serialised program; raises InvalidProgram for anything that encode does not write."""
        check(data)
        payload = data[24:]
        try:
            return _Reader(payload).program()
        except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
            raise InvalidProgram(f"payload cannot be read: {error}") from error

    def disassemble(self, with_locations: bool = False) -> str:
        """One line an instruction, indented by structured control flow."""
        waits = ", waits for products" if self.waits_for_products else ""
        lines = [f"program {self.name}  local memory {self.local_memory_bytes} bytes{waits}"]
        lines.extend(
            f"  argument {argument.name}: {'pointer' if argument.is_pointer else argument.dtype.text}"
            f" -> {self._name(argument.value)}"
            for argument in self.arguments
        )
        lines.extend(
            f"  slot {number}: {slot.bytes} bytes{f' x {slot.buffers}' if slot.buffers > 1 else ''} at {slot.offset}"
            for number, slot in enumerate(self.slots)
        )
        depth = 1
        for instruction in self.instructions:
            if instruction.mnemonic in ("end", "else_begin"):
                depth -= 1
            lines.append("  " * depth + self._line(instruction, with_locations))
            if instruction.mnemonic in ("for_begin", "while_begin", "if_begin", "else_begin"):
                depth += 1
        return "\n".join(lines) + "\n"

    def _name(self, number: int | None) -> str:
        if number is None:
            return "-"
        value = self.values[number]
        if value.kind is ValueKind.CONSTANT:
            return f"{constant_text(value.bits, value.dtype)}:{value.dtype.text}"
        if value.kind is ValueKind.SCALAR:
            return f"r{number}:{value.dtype.text}"
        return f"t{number}:{'x'.join(map(str, value.dims))}x{value.dtype.text}@{value.slot}"

    def _line(self, instruction: Instruction, with_locations: bool) -> str:
        results = ", ".join(map(self._name, instruction.results))
        operands = ", ".join(map(self._name, instruction.operands))
        row = isa.by_mnemonic()[instruction.mnemonic]
        names = [name.name for name in row.attributes]
        pairs = [f"{names[min(i, len(names) - 1)]}={value}" for i, value in enumerate(instruction.attributes)]
        text = f"{results + ' = ' if results else ''}{instruction.mnemonic} {operands}"
        text = f"{text.rstrip()}{' {' + ', '.join(pairs) + '}' if pairs else ''}"
        if with_locations and instruction.location is not None:
            location = self.locations[instruction.location]
            text += f"  ; {location.file}:{location.line}"
        return text


def check(data: bytes) -> None:
    """Raises InvalidProgram unless the bytes are a whole program for this instruction set."""
    if data[:8] != MAGIC or len(data) < 24:
        raise InvalidProgram(
            f"{len(data)} bytes that do not start with {MAGIC.decode()} are no tile program",
            remedy="compile the kernel again",
        )
    version, fingerprint, size, checksum = struct.unpack_from("<IIII", data, 8)
    payload = data[24:]
    if version != FORMAT_VERSION:
        raise InvalidProgram(f"format version {version}, this build reads {FORMAT_VERSION}; compile the kernel again")
    if fingerprint != isa.fingerprint():
        raise InvalidProgram("made for another instruction set; compile the kernel again")
    if len(payload) != size or zlib.crc32(payload) != checksum:
        raise InvalidProgram(f"payload of {len(payload)} bytes does not match its header ({size} bytes and a CRC)")


def constant_text(bits: int, dtype: DType) -> str:
    """A constant as people write it: an integer, a float, or raw bits for the narrow floats."""
    if dtype.is_integer:
        signed = bits - 2**64 if bits >= 2**63 else bits
        return str(signed)
    if dtype is DType.F32:
        return repr(round_float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0]))
    if dtype is DType.F64:
        return repr(struct.unpack("<d", struct.pack("<Q", bits))[0])
    if dtype is DType.BF16:
        return repr(struct.unpack("<f", struct.pack("<I", (bits & 0xFFFF) << 16))[0])
    if dtype is DType.F16:
        return repr(struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0])
    return hex(bits)


def round_float(value: float) -> float:
    """The shortest decimal that float32 reads back as `value`."""
    return float(f"{value:.9g}") if value == value else value


class _Reader:
    """Reads a payload front to back."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.position = 0

    def unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self.payload, self.position)
        self.position += struct.calcsize(layout)
        return values

    def u32(self) -> int:
        return self.unpack("<I")[0]

    def ids(self, count: int) -> tuple[int | None, ...]:
        return tuple(None if item == ABSENT else item for item in self.unpack(f"<{count}I"))

    def repeat(self) -> Iterable[int]:
        return range(self.u32())

    def text(self) -> str:
        size = self.u32()
        self.position += size
        if self.position > len(self.payload):
            raise ValueError(f"a string of {size} bytes goes beyond the end")
        return self.payload[self.position - size : self.position].decode()

    def program(self) -> TileProgram:
        strings = [self.text() for _ in self.repeat()]
        program = TileProgram(strings[self.u32()], strings=strings)
        local_memory_bytes = self.u32()
        waits = self.u32()
        if waits > 1:
            raise ValueError(f"waits_for_products is {waits}, not 0 or 1")
        program.waits_for_products = waits == 1
        for _ in self.repeat():
            name, is_pointer, dtype, _, value = self.unpack("<IBBHI")
            program.arguments.append(Argument(strings[name], bool(is_pointer), DType(dtype), value))
        program.slots = [Slot(*self.unpack("<III")) for _ in self.repeat()]
        for _ in self.repeat():
            kind, dtype, rank, _, slot, bits = self.unpack("<BBBBIQ")
            program.values.append(Value(ValueKind(kind), DType(dtype), self.unpack(f"<{rank}I"), slot, bits))
        for _ in self.repeat():
            file, line, column = self.unpack("<III")
            program.locations.append(Location(strings[file], line, column))
        rows = isa.instructions()
        for _ in self.repeat():
            opcode, results, operands, attributes, location = self.unpack("<HHHHI")
            program.instructions.append(
                Instruction(
                    rows[opcode].mnemonic,
                    self.ids(results),
                    self.ids(operands),
                    self.unpack(f"<{attributes}q"),
                    None if location == ABSENT else location,
                )
            )
        for _ in self.repeat():
            instruction_number, value, name = self.unpack("<III")
            program.names.append(ValueName(instruction_number, value, strings[name]))
        if self.position != len(self.payload):
            raise ValueError(f"{len(self.payload) - self.position} bytes are left over")
        if local_memory_bytes != program.local_memory_bytes:
            raise ValueError(f"says {local_memory_bytes} bytes of local memory, its slots {program.local_memory_bytes}")
        return program
