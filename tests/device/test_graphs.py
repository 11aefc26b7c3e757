"""Graphs: captured once, replayed on what their inputs hold then."""

from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.nn import functional

from mtia_core.errors import Unsupported
from tests.device.subprocesses import run_successfully

DEVICE = "mtia_sim"


@triton.jit
def add_one(x, count, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < count
    tl.store(x + offsets, tl.load(x + offsets, mask=mask) + 1, mask)


def test_nothing_runs_before_the_replay() -> None:
    x = torch.zeros(8, device=DEVICE)
    graph = torch.accelerator.Graph()
    with graph:
        x += 1
        y = x * 2
        add_one[(1,)](y, 8, 16)
    assert x.tolist() == [0] * 8
    for replays in (1, 2, 3):
        graph.replay()
        assert x.tolist() == [replays] * 8 and y.tolist() == [2 * replays + 1] * 8
    x.fill_(10)
    graph.replay()
    assert y.tolist() == [23] * 8


def test_a_training_step() -> None:
    """Captured, forward, backward and a fused optimiser that holds its step on the device, as many eager steps."""
    torch.manual_seed(3)
    models = [nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    batches = [(torch.randn(5, 6), torch.randint(0, 3, (5,))) for _ in range(4)]
    losses = []
    for captured, model in zip((False, True), models, strict=True):
        model.to(DEVICE)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05, fused=True)
        inputs, labels = batches[0][0].to(DEVICE), batches[0][1].to(DEVICE)

        def step(model=model, optimiser=optimiser, inputs=inputs, labels=labels) -> Tensor:
            optimiser.zero_grad(set_to_none=False)
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimiser.step()
            return loss.detach()

        step()
        graph = torch.mtia_sim.MTIAGraph()
        if captured:
            with torch.mtia_sim.graph(graph):
                loss = step()
        found = []
        for x, y in batches:
            inputs.copy_(x)
            labels.copy_(y)
            if captured:
                graph.replay()
                found.append(loss.clone())
            else:
                found.append(step())
        losses.append(torch.stack(found).cpu())
    assert torch.equal(losses[1], losses[0])
    assert all(torch.equal(*pair) for pair in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_memory_of_a_graph_is_its_own() -> None:
    x = torch.ones(1000, device=DEVICE)
    before = torch.mtia_sim.memory_allocated()
    graph = torch.accelerator.Graph()
    with graph:
        first = x + 1
        del first  # reused within the graph
        second = x + 2
        third = second * 3
    taken = torch.mtia_sim.memory_allocated() - before
    assert 0 < taken <= 2 * 4096
    others = [torch.full((1000,), -1.0, device=DEVICE) for _ in range(4)]
    graph.replay()
    assert (third == 9).all() and all((each == -1).all() for each in others)
    shared = torch.accelerator.Graph(pool=graph.pool())
    with shared:
        torch.mul(x, 5, out=x)
    shared.replay()
    assert (x == 5).all()
    del second, third, others
    graph.reset()
    shared.reset()
    assert torch.mtia_sim.memory_allocated() == before


def test_host_memory_and_streams() -> None:
    pinned, plain = torch.arange(4.0).pin_memory(), torch.arange(4.0)
    a, b = torch.zeros(4, device=DEVICE), torch.zeros(4, device=DEVICE)
    graph = torch.mtia_sim.MTIAGraph()
    with torch.mtia_sim.graph(graph, pool=torch.mtia_sim.graph_pool_handle(), stream=torch.mtia_sim.Stream()):
        a.copy_(pinned, non_blocking=True)
        b.copy_(plain)
        torch._foreach_add_([a, b], 1)
    pinned += 10
    plain += 10
    with torch.mtia_sim.stream(torch.mtia_sim.Stream()):
        graph.replay()
    torch.mtia_sim.synchronize()
    assert a.tolist() == [11, 12, 13, 14] and b.tolist() == [1, 2, 3, 4]  # the latter as it was when captured


def test_tables_of_a_graph_are_its_own() -> None:
    """What an operator sends to the device for itself: of a transform whose length nobody used before, of lists."""
    x = torch.randn(3, 91)
    there = x.to(DEVICE)
    graph = torch.accelerator.Graph()
    with graph:
        spectrum = torch.fft.rfft(there)
        norms = torch._foreach_norm([there, there[0]])
    torch.testing.assert_close(torch.fft.rfft(there).cpu(), torch.fft.rfft(x), atol=1e-4, rtol=1e-4)
    graph.replay()
    torch.testing.assert_close(spectrum.cpu(), torch.fft.rfft(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(norms[1].cpu(), x[0].norm())


def test_what_no_graph_can_hold(tmp_path: Path) -> None:
    x = torch.ones(4, device=DEVICE)
    graph = torch.accelerator.Graph()
    for call in (lambda: x.sum().item(), lambda: x.cpu(), lambda: torch.rand(4, device=DEVICE), x.nonzero):
        with pytest.raises(Unsupported, match="graph is being captured"), graph:
            call()
        graph.reset()
    with pytest.raises(RuntimeError, match="capture has not ended"):
        graph.replay()
    with graph, pytest.raises(RuntimeError, match="another graph is being captured"):
        torch.accelerator.Graph().capture_begin()
    with pytest.raises(RuntimeError, match="captured already"):
        graph.capture_begin()
    graph.reset()
    with graph:
        x *= 3
    graph.debug_dump(str(tmp_path / "graph.txt"))
    assert "launch elementwise" in (tmp_path / "graph.txt").read_text()
    graph.replay()
    assert x.tolist() == [3] * 4


@pytest.mark.unchecked(reason="checks look at values, which timing mode does not compute")
def test_timing_mode_charges_each_replay() -> None:
    run_successfully(
        """
        import torch
        x = torch.randn(512, 512, device="mtia_sim")
        graph = torch.accelerator.Graph()
        with graph:
            y = x @ x
        def cycles(call):
            torch.mtia_sim.synchronize()
            torch.mtia_sim.reset_perf_counters()
            call()
            torch.mtia_sim.synchronize()
            return torch.mtia_sim.perf_counters()["cycles"]
        graph.replay()
        eager, replayed = cycles(lambda: torch.mm(x, x, out=y)), cycles(graph.replay)
        assert eager == replayed > 0
        """,
        MTIA_SIM_MODE="timing",
    )
