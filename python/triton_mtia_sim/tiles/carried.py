"""What control flow carries from one point of a kernel to the next, and the ways in which it comes there."""

from dataclasses import dataclass

from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.tiles.machine import Bucket, Register


class Carried:
    """A register that control flow assigns: `sources` come in from each way into it."""

    __slots__ = ("final", "register", "sources")

    def __init__(self, register: Register, final: Register, ways: int) -> None:
        self.register = register
        self.final = final
        self.sources: list[Register | None] = [None] * ways


@dataclass(frozen=True)
class Ways:
    """The ways into a carried value: the value that each brings, and the point where it is ready."""

    owner: Operation | Block
    index: int
    home: Bucket
    sources: tuple[tuple[Value, Bucket], ...]

    @property
    def operation(self) -> Operation:
        return self.owner if isinstance(self.owner, Operation) else self.owner.owner
