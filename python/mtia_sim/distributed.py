"""torch.distributed: the process group of the device, registered as backend "mccl" and taken where none is named."""

import functools
import importlib
import inspect
import os
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from mtia_core.errors import InvalidArgument
from mtia_sim import _C, world

BACKEND = "mccl"
_FAKE = "fake"
_beginnings = 0  # default groups that this process made: as many as every other rank did


def _make(options: Any, _backend_options: Any = None) -> Any:
    """The backend for one group: Gloo carries the bytes between its ranks, and serves tensors in host memory.

    Ranks that do not exist (MTIA_SIM_WORLD) are mirrored.
    """
    ranks = list(options.global_ranks_in_group) or list(range(options.group_size))
    job = world.current()
    present = ranks if job is None else [rank for rank in ranks if job.exists(rank)]

    def gloo(purpose: str) -> Any:
        # torchrun keeps the store when it restarts the ranks, and when they begin again, with addresses that are gone.
        start = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}.{_beginnings}"
        store = distributed.distributed_c10d.PrefixStore(f"{purpose}/{start}", options.store)
        place = present.index(ranks[options.group_rank])
        return distributed.ProcessGroupGloo(store, place, len(present), timeout=options.timeout)

    if job is None or 1 < len(present) == len(ranks):
        means = _C.GroupMeans(gloo("host"), options.store, BACKEND)
        return _C.make_process_group(gloo("messages"), means, ranks, options.group_id, options.timeout)
    means = _C.GroupMeans(_C.make_mirrored_host_group(options.group_rank, options.group_size), options.store, BACKEND)
    between = gloo("messages") if len(present) > 1 else None
    return _C.make_mirrored_group(options.group_rank, ranks, means, between, present, options.group_id, options.timeout)


def _make_fake(options: Any, backend_options: Any = None) -> Any:
    """torch's fake group, but that collectives of device tensors take their time and are mirrored."""
    fake: Any = torch._C._distributed_c10d.FakeProcessGroup
    host = fake._create_internal(options.group_rank, options.group_size, backend_options or fake.Options())
    ranks = list(options.global_ranks_in_group) or list(range(options.group_size))
    means = _C.GroupMeans(host, options.store, _FAKE)
    return _C.make_mirrored_group(options.group_rank, ranks, means, None, [], options.group_id, options.timeout)


def _make_split(backend: str, store: Any, ranks: list[int], rank: int, name: str, timeout: timedelta) -> Any:
    """A group between some ranks of another one, by the same backend."""
    options = torch._C._distributed_c10d._DistributedBackendOptions()
    options.store, options.group_id, options.timeout = store, name, timeout
    options.group_rank, options.group_size, options.global_ranks_in_group = rank, len(ranks), ranks
    return (_make_fake if backend == _FAKE else _make)(options)


def _offer_fake(device: str) -> None:
    """Registers torch's fake group again, with this device added (pytorch issue 195260)."""
    importlib.import_module("torch.testing._internal.distributed.fake_pg")  # which registers it for other devices
    devices = distributed.Backend.backend_capability[_FAKE]
    if device not in devices:
        distributed.Backend.register_backend(_FAKE, _make_fake, extended_api=True, devices=[*devices, device])


def _meet(job: world.World, values: dict[str, Any]) -> dict[str, Any]:
    """What init_process_group is to be given for a job of which few ranks exist."""
    named = values.get("world_size", -1)
    if named > 0 and named not in (job.size, job.processes):
        raise InvalidArgument(
            f"init_process_group(world_size={named}), and {world.VARIABLE} has {job.size} ranks",
            remedy="leave rank and world_size out, or give what the variable says",
        )
    meeting = importlib.import_module("mtia_sim.meeting")
    store = meeting.store_of(job, values.get("store"), values.get("init_method"), values.get("timeout"))
    return {**values, "init_method": None, "store": store, "rank": job.rank, "world_size": job.size, "backend": BACKEND}


class _DeviceType(str):
    """The device's name for a check that takes letters alone for the name of a device without an index."""

    __slots__ = ()

    def isalpha(self) -> bool:
        return True


def _shim(name: str, replacement: Any) -> None:
    """Puts a function in the place of torch.distributed's, wherever that has been imported to by now."""
    for module in (distributed, distributed.distributed_c10d, distributed.device_mesh):
        if hasattr(module, name):
            setattr(module, name, replacement)


def _mend_absent_ranks() -> None:
    """Groups by Gloo would wait for ranks that do not exist, and objects of a root that does not exist are not known.

    Where MTIA_SIM_WORLD is not set both are torch's own.
    """
    make_group, broadcast, scatter = (
        distributed.new_group,
        distributed.broadcast_object_list,
        distributed.scatter_object_list,
    )

    @functools.wraps(make_group)
    def new_group(
        ranks: list[int] | None = None, timeout: Any = None, backend: str | None = None, *rest: Any, **keywords: Any
    ) -> Any:
        if world.current() is not None and backend is not None and _FAKE not in backend:
            backend = BACKEND
        return make_group(ranks, timeout, backend, *rest, **keywords)

    def is_absent(source: int | None, group: Any, group_source: int | None) -> bool:
        job = world.current()
        if job is None:
            return False
        if group_source is not None:
            source = group_source if group is None else distributed.get_global_rank(group, group_source)
        return not job.exists(source or 0)

    @functools.wraps(broadcast)
    def broadcast_object_list(
        object_list: list[Any],
        src: int | None = None,
        group: Any = None,
        device: Any = None,
        group_src: int | None = None,
    ) -> None:
        if not is_absent(src, group, group_src):
            broadcast(object_list, src, group, device, group_src)

    @functools.wraps(scatter)
    def scatter_object_list(
        scatter_object_output_list: list[Any],
        scatter_object_input_list: list[Any] | None = None,
        src: int | None = None,
        group: Any = None,
        group_src: int | None = None,
    ) -> None:
        if not is_absent(src, group, group_src):
            scatter(scatter_object_output_list, scatter_object_input_list, src, group, group_src)

    for replacement in (new_group, broadcast_object_list, scatter_object_list):
        _shim(replacement.__name__, replacement)


def register() -> None:
    """Names the backend to torch.distributed, where torch was built with it, and mends some functions there.

    torch.distributed.init_process_group without a backend makes one for the accelerator alone and takes Gloo for its
    type, which then is not found; init_device_mesh refuses names of devices with an underscore.
    """
    if not distributed.is_available() or not distributed.is_gloo_available():
        return
    device = torch._C._get_privateuse1_backend_name()
    distributed.Backend.register_backend(BACKEND, _make, extended_api=True, devices=[device, "cpu"])
    from mtia_sim import distributed_groups  # which needs torch's backends

    _C.set_group_factory(_make_split)
    distributed_groups.register()
    make_group, make_mesh = distributed.init_process_group, distributed.device_mesh.init_device_mesh

    signature = inspect.signature(make_group)

    @functools.wraps(make_group)
    def init_process_group(backend: str | None = None, *arguments: Any, **keywords: Any) -> None:
        # Imports torch.distributed.tensor, as every optimiser does and as `import torch` does not.
        from mtia_sim import distributed_attention

        distributed_attention.register()
        backend = BACKEND if backend is None else backend
        job, given = None, signature.bind(backend, *arguments, **keywords).arguments
        if _FAKE in backend:
            _offer_fake(device)
            if backend == _FAKE and given.get("store") is None and given.get("world_size", -1) > 0:
                # Torch's own store for it cannot be cloned, which split_group does.
                meeting = importlib.import_module("mtia_sim.meeting")
                keywords["store"] = meeting.store_of_absent_ranks(given["world_size"])
        else:
            job = world.from_environment(given.get("rank", -1), given.get("world_size", -1))
        world.enter(job)
        if job is None:
            make_group(backend, *arguments, **keywords)
        else:
            make_group(**_meet(job, given))
        global _beginnings
        _beginnings += 1

    @functools.wraps(make_mesh)
    def init_device_mesh(device_type: str, *arguments: Any, **keywords: Any) -> Any:
        if device_type != device:
            return make_mesh(device_type, *arguments, **keywords)
        mesh = make_mesh(_DeviceType(device_type), *arguments, **keywords)
        mesh._device_type = device
        return mesh

    _shim("init_process_group", init_process_group)
    _shim("init_device_mesh", init_device_mesh)
    _shim("monitored_barrier", distributed_groups.monitored_barrier_for(BACKEND))
    _mend_absent_ranks()


def flight_record(only_active: bool = False) -> bytes:
    """The last calls of this process's groups, pickled as `python -m torch.distributed.flight_recorder.fr_trace` reads.

    TORCH_FR_BUFFER_SIZE calls are kept (2,000; 0: none). With TORCH_FR_DUMP_TEMP_FILE set, a process's first failed
    call writes all of them to that name with the rank in the job behind it.

    Args:
        only_active: Leave out those that are completed.
    """
    return _C.dump_flight_record(only_active)


def write_flight_record() -> None:
    """Writes the same to the file that TORCH_FR_DUMP_TEMP_FILE names, the rank in the job behind it."""
    _C.write_flight_record()
