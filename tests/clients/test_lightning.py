"""Lightning's Trainer and Fabric on the device through mtia_sim.lightning, and what they say without it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.device.subprocesses import run_successfully

lightning = pytest.importorskip("lightning", reason="lightning is not installed")

import mtia_sim.lightning  # noqa: E402

ON_DEVICE = {"accelerator": "mtia_sim", "strategy": "mtia_sim"}
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
PRECISIONS = {
    "32-true": torch.float32,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
    "bf16-true": torch.bfloat16,
}

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*CUDA is not available", "ignore:.*num_workers", "ignore:.*LeafSpec", "ignore:.*treespec"
)


def batches() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(32, 8, generator=generator)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8)


class Classifier(lightning.LightningModule):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 2))
        self.outputs: list[Tensor] = []
        self.losses: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        self.outputs.append(self.layers(batch[0].to(self.layers[0].weight.dtype)))
        loss = functional.cross_entropy(self.outputs[-1].float(), batch[1])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.02)


def fit(**options: Any) -> tuple[Classifier, Any]:
    model, trainer = Classifier(), lightning.Trainer(max_epochs=3, **QUIET, **options)
    trainer.fit(model, batches())
    return model, trainer


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_trainer_computes_there_in_its_precision(precision: str) -> None:
    model, trainer = fit(**ON_DEVICE, precision=precision)
    assert {(each.device, each.dtype) for each in model.outputs} == {
        (torch.device("mtia_sim:0"), PRECISIONS[precision])
    }
    assert model.losses[-1] < model.losses[0]
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    assert (scaler is not None and scaler.is_enabled()) == (precision == "16-mixed")


def test_a_trainer_follows_the_cpu() -> None:
    reference, _ = fit(accelerator="cpu")
    model, _ = fit(**ON_DEVICE)
    assert model.losses == pytest.approx(reference.losses, rel=1e-4)


@pytest.mark.parametrize(("devices", "index"), [("auto", 0), (1, 0), ([1], 1), ("1,", 1), (-1, 0)])
def test_the_device_is_chosen_by_index(devices: Any, index: int) -> None:
    trainer = lightning.Trainer(**ON_DEVICE, devices=devices, **QUIET)
    assert trainer.strategy.root_device == torch.device("mtia_sim", index)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_fabric(precision: str) -> None:
    fabric = lightning.Fabric(**ON_DEVICE, precision=precision)
    torch.manual_seed(1)
    layer = nn.Linear(8, 2)
    model, optimizer = fabric.setup(layer, torch.optim.AdamW(layer.parameters(), lr=0.1))
    losses = []
    for _ in range(3):
        for x, y in fabric.setup_dataloaders(batches()):
            with fabric.autocast():
                assert layer(x).dtype == PRECISIONS[precision]
            loss = functional.cross_entropy(model(x), y)
            fabric.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert fabric.device == torch.device("mtia_sim:0") and losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accelerator": "mtia_sim"}, "runs on cpu"),
        ({**ON_DEVICE, "devices": 2}, "one mtia_sim device"),
        ({"accelerator": "cpu", "strategy": "mtia_sim"}, "one mtia_sim device"),
    ],
)
def test_choices_that_would_train_elsewhere_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=rf"{words}.*strategy=\"mtia_sim\""):
        fit(**options)


def test_lightnings_own_ddp_names_the_devices() -> None:
    given = SimpleNamespace(
        accelerator=mtia_sim.lightning.MtiaSimAccelerator(), strategy=lightning.pytorch.strategies.DDPStrategy()
    )
    with pytest.raises(ValueError, match=r"stream of CUDA; pass strategy=\"mtia_sim_ddp\""):
        mtia_sim.lightning.notices()[0].setup(given)


def test_a_run_on_the_cpu_says_that_the_device_was_not_used() -> None:
    with pytest.warns(UserWarning, match="mtia_sim is available but not used.*accelerator="):
        fit()
    with pytest.warns(UserWarning, match="mtia_sim is available but not used.*Fabric"):
        lightning.Fabric(accelerator="cpu").setup(nn.Linear(2, 2))


def test_statistics_and_registration() -> None:
    accelerator = mtia_sim.lightning.MtiaSimAccelerator()
    kept = torch.ones(10, device="mtia_sim")
    assert accelerator.get_device_stats(kept.device)["allocated_bytes.all.current"] >= 40
    mtia_sim.lightning._register()  # again: nothing happens


def test_importing_the_device_imports_no_lightning() -> None:
    run_successfully(
        """
        import sys, torch
        torch.ones(1, device="mtia_sim")
        assert not [name for name in sys.modules if name.startswith("lightning")]
        """
    )
