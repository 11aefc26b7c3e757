"""Python's side of csrc/base/error.h: one exception class a category; the bindings raise these for C++ errors."""


class MtiaError(RuntimeError):
    """Base of every error of mtia_sim. The message reads ``Category: where: problem; remedy``."""

    def __init__(self, problem: str, where: str = "", remedy: str = "") -> None:
        text = f"{type(self).__name__}: "
        if where:
            text += f"{where}: "
        text += problem
        if remedy:
            text += f"; {remedy}"
        super().__init__(text)
        self.problem = problem
        self.where = where
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["MtiaError"], tuple[str, str, str]]:
        return type(self), (self.problem, self.where, self.remedy)


class OutOfBounds(MtiaError, IndexError):
    """An access outside of a buffer, a tile or an allocation."""


class OutOfLocalMemory(MtiaError):
    """A kernel needs more local memory than a PE has."""


class OutOfDeviceMemory(MtiaError, MemoryError):
    """An allocation exceeds the device's DRAM."""


class InvalidProgram(MtiaError, ValueError):
    """A tile program or its serialised form is malformed or corrupted."""


class InvalidChip(MtiaError, ValueError):
    """A chip file has a missing, unknown or out-of-range field."""


class InvalidArgument(MtiaError, ValueError):
    """A caller passed a wrong value, dtype, shape or device."""


class Undefined(MtiaError):
    """The chip leaves the result undefined: a kernel must not do this."""


class Unsupported(MtiaError, NotImplementedError):
    """The chip cannot do this, and never will."""


class Unimplemented(MtiaError, NotImplementedError):
    """The chip can, mtia_sim does not yet."""


class UseAfterFree(MtiaError):
    """An access to memory that was given back."""


class UninitialisedRead(MtiaError):
    """A read of memory that nothing wrote."""


class DataRace(MtiaError):
    """Two accesses without an order between them."""


class Deadlock(MtiaError):
    """Every processing element waits."""


class KernelAssert(MtiaError, AssertionError):
    """An assertion inside of a kernel failed."""


class NonFinite(MtiaError, FloatingPointError):
    """Arithmetic made a NaN or an infinity."""


class CollectiveFailure(MtiaError):
    """Another rank of a process group disagreed, or did not answer."""


class LaunchFailure(MtiaError):
    """A kernel could not start, or failed while running."""


class InternalError(MtiaError):
    """An invariant of mtia_sim itself is broken: a defect to report."""


CATEGORIES: dict[str, type[MtiaError]] = {category.__name__: category for category in MtiaError.__subclasses__()}
