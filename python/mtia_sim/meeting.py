"""How the processes of a job meet, few or one of whose ranks exist. Needs a torch with torch.distributed."""

from datetime import timedelta
from typing import Any

from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from mtia_core.errors import InvalidArgument
from mtia_sim import world

_stores: list["AbsentRanksStore"] = []


class AbsentRanksStore(Store):
    """A store of ranks that all write what this one writes; nothing is waited for."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._values: dict[str, bytes] = {}

    def clone(self) -> "AbsentRanksStore":
        """Itself: there is no connection that threads would share."""
        return self

    def set(self, key: str, value: Any) -> None:
        """Writes a value."""
        self._values[key] = value if isinstance(value, bytes) else str(value).encode()

    def get(self, key: str) -> bytes:
        """What this rank wrote.

        Raises:
            InvalidArgument: A rank that does not exist would have to.
        """
        if key not in self._values:
            raise InvalidArgument(
                f"the store has no {key!r}: a rank that does not exist would have to write it",
                remedy=f"run this part with all ranks, without {world.VARIABLE}",
            )
        return self._values[key]

    def add(self, key: str, amount: int) -> int:
        """Every rank adds `amount`."""
        total = int(self._values.get(key, b"0")) + amount * self._size
        self._values[key] = str(total).encode()
        return total

    def check(self, keys: list[str]) -> bool:
        """Whether this rank wrote them."""
        return all(key in self._values for key in keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Returns at once."""

    def delete_key(self, key: str) -> bool:
        """Removes a value."""
        return self._values.pop(key, None) is not None

    def num_keys(self) -> int:
        """How many there are."""
        return len(self._values)

    def set_timeout(self, timeout: timedelta) -> None:
        """Nothing is waited for."""


def store_of_absent_ranks(size: int) -> AbsentRanksStore:
    """A store of `size` ranks that lives as long as the process: what torch holds of one does not keep it."""
    _stores.append(AbsentRanksStore(size))
    return _stores[-1]


def store_of(job: world.World, store: Any, method: str | None, timeout: timedelta | None) -> Any:
    """Where the processes that exist meet, as init_process_group was told; nobody else's for one alone."""
    if job.processes == 1:
        return store_of_absent_ranks(job.size)
    if store is not None:
        return store
    keywords = {} if timeout is None else {"timeout": timeout}
    return next(rendezvous(method or "env://", job.process, job.processes, **keywords))[0]
