"""What the compiler refuses, each with the kernel's line and the remedy."""

from triton.runtime.errors import OutOfResources

from mtia_core.errors import Unimplemented


class UnsupportedOperation(Unimplemented):
    """An operation, or a form of it, that has no lowering.

    Not raised for a kernel that is wrong, only for one that this compiler does not know.
    """

    def __init__(self, operation: str, location: object, what: str, remedy: str) -> None:
        super().__init__(f"{operation}: {what}", str(location), remedy)
        self.operation = operation
        self.what = what

    def __reduce__(self) -> tuple[type["UnsupportedOperation"], tuple[str, str, str, str]]:  # type: ignore[override]
        return (type(self), (self.operation, self.where, self.what, self.remedy))


class OutOfLocalMemory(OutOfResources):
    """A kernel's tiles do not fit a PE's local memory; an autotuner drops the configuration."""

    def __init__(self, required: int, limit: int, name: str, where: str, chip: str) -> None:
        super().__init__(required, limit, name)
        self.where = where
        self.chip = chip

    def __str__(self) -> str:
        return (
            f"{self.where} needs {_kib(self.required)} of local memory, a PE of {self.chip} has {_kib(self.limit)}; "
            "use a smaller BLOCK or fewer num_stages"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.required, self.limit, self.name, self.where, self.chip))


def _kib(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count % 1024 == 0 else f"{count / 1024:.1f} KiB"
