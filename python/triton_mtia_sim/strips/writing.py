"""Writes instructions on strips, and makes the registers that they need."""

from mtia_core.dtypes import DType
from triton_mtia_sim.tiles.machine import Bucket, Code, Register, Shape


class Writer:
    """Code in the making; `origins` says which register each strip is cut from."""

    def __init__(self, count: int, home: Bucket) -> None:
        self.count = count
        self.home = home
        self.code: list[Code] = []
        self.origins: dict[Register, Register] = {}

    def fresh(self, dtype: DType, shape: Shape, origin: Register) -> Register:
        """A new tile that is part of, or made for, another."""
        register = Register(dtype, shape, self.home)
        self.origins[register] = self.origins.get(origin.root, origin.root)
        return register

    def view(self, register: Register, shape: Shape, dtype: DType | None = None) -> Register:
        """The same storage under another shape."""
        result = Register(register.dtype if dtype is None else dtype, shape, register.home)
        result.root, result.definition = register.root, register.definition
        return result

    def emit(
        self, like: Code, mnemonic: str, results: list[Register | None], operands: list[Register | None],
        attributes: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        """Appends an instruction at the place of another in the kernel's source."""
        code = Code(mnemonic, results, operands, attributes, like.location)
        for register in results:
            if register is not None and register.root.definition is None:
                register.root.definition = register.definition = code
        self.code.append(code)
