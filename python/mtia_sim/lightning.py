"""Lightning and Fabric on mtia_sim: importing this module registers an accelerator and strategies for it.

    import mtia_sim.lightning
    trainer = Trainer(accelerator="mtia_sim", strategy="mtia_sim", precision="bf16-mixed")
    fabric = Fabric(accelerator="mtia_sim", strategy="mtia_sim")

The strategy is needed: without one Lightning puts a model on the CPU for every accelerator that it does not ship. It
trains on one device, the first one or the one in `devices=[1]`, and makes 16-bit mixed precision that of mtia_sim,
where Lightning would open an autocast of CUDA and compute in float32. `strategy="mtia_sim_ddp"` is DDP on as many as
`devices` says, a process each, as `strategy="ddp"` is elsewhere: that one makes a stream of CUDA.
"""

from typing import Any

import torch
from lightning.fabric.accelerators import ACCELERATOR_REGISTRY
from lightning.fabric.plugins.precision import MixedPrecision as FabricMixedPrecision
from lightning.fabric.strategies import STRATEGY_REGISTRY
from lightning.fabric.strategies import DDPStrategy as FabricDDPStrategy
from lightning.fabric.strategies import SingleDeviceStrategy as FabricSingleDeviceStrategy
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry, CPUAccelerator
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, StrategyRegistry
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from mtia_core.errors import InvalidArgument
from mtia_sim import devices as mtia_devices
from mtia_sim import memory

NAME = "mtia_sim"
DDP_NAME = "mtia_sim_ddp"
_ADVICE = 'accelerator="mtia_sim", strategy="mtia_sim" after import mtia_sim.lightning'


class MtiaSimAccelerator(Accelerator):
    """The devices of torch.mtia_sim as Lightning's and Fabric's accelerator."""

    def setup_device(self, device: torch.device) -> None:
        """Makes `device` the current one.

        Raises:
            InvalidArgument: A device of another type: a strategy was chosen that does not know mtia_sim.
        """
        if device.type != NAME:
            raise InvalidArgument(
                f"the strategy runs on {device}, not on mtia_sim", remedy=f"pass {_ADVICE} to Trainer or Fabric"
            )
        mtia_devices.set_device(device)

    def teardown(self) -> None:
        memory.empty_cache()

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """Indices of devices from a number of them, a list, "auto", -1, or indices in a string such as "1" or "0,1"."""
        if isinstance(devices, str):
            devices = [int(part) for part in devices.split(",") if part] if devices not in ("auto", "-1") else -1
        if isinstance(devices, int):
            return list(range(devices)) if devices >= 0 else [0]
        return list(devices)

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device(NAME, index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        """1: the strategy is of one device."""
        return 1

    @staticmethod
    def is_available() -> bool:
        return mtia_devices.is_available()

    @staticmethod
    def name() -> str:
        return NAME

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        """torch.mtia_sim.memory_stats of a device."""
        return dict(memory.memory_stats(device))


class _OneDevice:
    """What both strategies add to Lightning's own of a single device."""

    _root_device: torch.device
    _chosen: list[torch.device] | None = None

    @property
    def parallel_devices(self) -> list[torch.device] | None:
        return self._chosen

    @parallel_devices.setter
    def parallel_devices(self, devices: list[torch.device]) -> None:
        """Set by Lightning from `devices` and the accelerator.

        Raises:
            InvalidArgument: More than one device, or an accelerator of another kind.
        """
        if len(devices) != 1 or devices[0].type != NAME:
            raise InvalidArgument(
                f"the strategy mtia_sim trains on one mtia_sim device, but was given {[str(each) for each in devices]}",
                remedy=f"pass {_ADVICE}, with devices=1 or devices=[index]",
            )
        self._chosen = devices
        self._root_device = devices[0]


class _TrainersPrecision:
    """Mixed precision of a Trainer's strategy is that of mtia_sim."""

    _precision_plugin: Any

    @property
    def precision_plugin(self) -> Any:
        return self._precision_plugin

    @precision_plugin.setter
    def precision_plugin(self, precision: Any) -> None:
        if isinstance(precision, MixedPrecision) and precision.device != NAME:
            precision = MixedPrecision(precision.precision, NAME)
        self._precision_plugin = precision


class _FabricsPrecision:
    """Mixed precision of a Fabric's strategy is that of mtia_sim."""

    _precision: Any

    @property
    def precision(self) -> Any:
        return self._precision

    @precision.setter
    def precision(self, precision: Any) -> None:
        if isinstance(precision, FabricMixedPrecision) and precision.device != NAME:
            precision = FabricMixedPrecision(precision.precision, NAME)
        self._precision = precision


class MtiaSimStrategy(_OneDevice, _TrainersPrecision, SingleDeviceStrategy):
    """A Trainer on one mtia_sim device."""

    strategy_name = NAME

    def __init__(self, device: Any = NAME, **options: Any) -> None:
        super().__init__(device, **options)


class MtiaSimFabricStrategy(_OneDevice, _FabricsPrecision, FabricSingleDeviceStrategy):
    """Fabric on one mtia_sim device."""

    def __init__(self, device: Any = NAME, **options: Any) -> None:
        super().__init__(device, **options)


class _ManyDevices:
    """What both DDP strategies change of Lightning's own: a device that is named makes a stream of CUDA there, and a
    model is on its device already."""

    def determine_ddp_device_ids(self) -> None:
        return None

    def _determine_ddp_device_ids(self) -> None:
        return None


class MtiaSimDDPStrategy(_ManyDevices, _TrainersPrecision, DDPStrategy):
    """A Trainer on several mtia_sim devices, a process each."""

    strategy_name = DDP_NAME


class MtiaSimFabricDDPStrategy(_ManyDevices, _FabricsPrecision, FabricDDPStrategy):
    """Fabric on several mtia_sim devices, a process each."""


class _Notice(Callback):
    """Says that a run is on the CPU though mtia_sim is there, as Lightning does of GPUs."""

    def setup(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        if isinstance(trainer.accelerator, MtiaSimAccelerator) and type(trainer.strategy) is DDPStrategy:
            raise InvalidArgument(
                "Lightning's own DDP makes a stream of CUDA",
                remedy=f'pass strategy="{DDP_NAME}", which "auto" does not find for several devices',
            )
        _tell("Trainer", trainer.accelerator)

    def on_after_setup(self, fabric: Any, **_: Any) -> None:
        _tell("Fabric", fabric._accelerator)


def _tell(caller: str, accelerator: object) -> None:
    if isinstance(accelerator, CPUAccelerator) or type(accelerator).__name__ == "CPUAccelerator":
        rank_zero_warn(f"mtia_sim is available but not used. You can set it by passing {caller} {_ADVICE}.")


def notices() -> list[Callback]:
    """Callbacks of every Trainer and Fabric: the entry points lightning.*.callbacks_factory name this function."""
    return [_Notice()] if mtia_devices.is_available() else []


def _register() -> None:
    for accelerators in (ACCELERATOR_REGISTRY, AcceleratorRegistry):
        if NAME not in accelerators:
            accelerators.register(NAME, MtiaSimAccelerator, description="a device of torch.mtia_sim")
    for strategies, one, many in (
        (STRATEGY_REGISTRY, MtiaSimFabricStrategy, MtiaSimFabricDDPStrategy),
        (StrategyRegistry, MtiaSimStrategy, MtiaSimDDPStrategy),
    ):
        if NAME not in strategies:
            strategies.register(NAME, one, description="one device of torch.mtia_sim")
            strategies.register(DDP_NAME, many, description="DDP on several devices of torch.mtia_sim")


_register()
