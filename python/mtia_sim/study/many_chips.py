"""Training steps of many chips: stages measured, put together to a step, and the search for a plan."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim.study import plans
from mtia_sim.study.comparison import peak_flops
from mtia_sim.study.llama import SIZES, Size
from mtia_sim.study.plans import Plan
from mtia_sim.study.prices import Prices, dollars
from mtia_sim.study.runs import Run, measured_all

# Layers and microbatches of the runs from which a stage is put together: what one more of either takes is what two
# runs differ by.
_LAYERS = (2, 4)
_MICROBATCHES = (1, 2)
_ACCUMULATING = (2, 3)
# Of the plans of a search so many are measured, the best by what they are estimated to take.
MEASURED_PLANS = 4
_BYTES_PER_NUMBER = 2


@dataclass(frozen=True)
class Job:
    """A training step of a model on so many chips: what is asked."""

    run: Run  # the chip, its changes, and Options of one sequence
    chips: int
    model: str

    @property
    def sequence(self) -> int:
        """Tokens of a sequence."""
        return self.run.options.sequence or 8192

    @property
    def batch(self) -> int:
        """Sequences of a step, of all chips together."""
        return self.run.options.batch or self.chips

    @property
    def size(self) -> Size:
        """The model, with as many layers as were asked for."""
        size = SIZES[self.model]
        return size if self.run.options.layers is None else replace(size, layers=self.run.options.layers)


@dataclass(frozen=True)
class StepRow:
    """What a step takes: seconds, of which in `exposed_seconds` the grid of a mean stage waits for other chips and in
    `bubble_seconds` for other stages; tokens a second a chip; `utilisation` of the peak by the FLOPs that the model
    needs; joules and dollars a token (None: no price); bytes of memory of the chip that needs most."""

    chip: Chip
    job: Job
    plan: Plan
    fits: bool
    seconds: float
    exposed_seconds: float
    bubble_seconds: float
    collective_seconds: float
    tokens_per_chip_second: float
    utilisation: float
    joules_per_token: float
    dollars_per_million: float | None
    memory_bytes: float
    by_kernel: Mapping[str, Any]  # of a mean stage

    @property
    def name(self) -> str:
        """As --chips has it."""
        return f"{self.chip.name}x{self.job.chips}"


def runs_of(job: Job, plan: Plan) -> dict[str, dict[tuple[int, int], Run]]:
    """For each stage the runs from which it is put together, by layers and microbatches."""
    found: dict[str, dict[tuple[int, int], Run]] = {}
    # What a stage takes depends neither on how many steps there are nor on the order of its layers.
    of_stage = replace(plan, v=1, microbatches=1)
    for stage in plan.stages:
        layers = plan.layers_of(stage, job.size.layers)
        counts = _LAYERS if layers > _LAYERS[1] else (layers,)
        microbatches = _MICROBATCHES if plan.microbatches > 1 else (1,)
        if plan.pp > 1 and plan.microbatches > _MICROBATCHES[-1]:
            microbatches = _ACCUMULATING  # from the second on there are gradients that are not yet reduced
        found[stage] = {
            (count, under_way): replace(
                job.run,
                workload=job.model,
                options=replace(
                    job.run.options,
                    sequence=job.sequence,
                    batch=None,
                    layers=count,
                    plan=astuple(of_stage),
                    stage=stage,
                    microbatches=under_way,
                ),
            ).with_room()
            for count, under_way in itertools.product(counts, microbatches)
        }
    return found


def _weights(known: Sequence[int], wanted: float) -> dict[int, float]:
    """Shares of a line's known points in the wanted one."""
    if len(known) == 1:
        return {known[0]: 1.0}
    first, second = known
    share = (wanted - first) / (second - first)
    return {first: 1 - share, second: share}


def _mix(parts: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """The weighted sum of measurements, number by number."""
    mixed: dict[str, Any] = {}
    for name in dict.fromkeys(itertools.chain.from_iterable(part for _, part in parts)):
        found = [(weight, part[name]) for weight, part in parts if name in part]
        if all(isinstance(value, Mapping) for _, value in found):
            mixed[name] = _mix(found)
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for _, value in found):
            mixed[name] = sum(weight * value for weight, value in found)
    return mixed


def _stage(
    runs: Mapping[tuple[int, int], Run], measurements: Mapping[Run, Mapping[str, Any]], layers: int, microbatches: float
) -> dict[str, Any]:
    by_layers = _weights(sorted({count for count, _ in runs}), layers)
    by_microbatches = _weights(sorted({count for _, count in runs}), microbatches)
    return _mix(
        [
            (share * by_microbatches[count], measurements[runs[number, count]])
            for number, share in by_layers.items()
            for count in by_microbatches
        ]
    )


def _hop_seconds(job: Job, plan: Plan, chip: Chip) -> float:
    """Of a microbatch's activations from one stage to the next; backward its gradients take as long."""
    if plan.pp == 1:
        return 0.0
    sent = job.sequence // plan.cp * job.size.hidden * _BYTES_PER_NUMBER // plan.tp
    ranks = [0, job.chips // plan.pp]
    return float(_C.collective_account(chip.serialise(), chip.serialise_cluster(), "send", sent, ranks)["seconds"])


def measure(
    jobs: Sequence[tuple[Job, Plan]], prices: Prices, tell: Callable[[int, int], None] | None = None
) -> list[StepRow]:
    """A row for each job and plan.

    Raises:
        InvalidChip, InvalidArgument, RuntimeError: As `runs.measured`.
    """
    wanted = [runs_of(job, plan) for job, plan in jobs]
    every = [run for stages in wanted for runs in stages.values() for run in runs.values()]
    measurements = measured_all(every, tell)
    for run in every:
        if not measurements[run]["fits"]:
            raise InvalidArgument(
                f"{run.workload} fits no memory: {measurements[run]['problem']}", run.chip, "ask for a shorter --seq"
            )
    return [row_of(job, plan, measurements, prices) for job, plan in jobs]


def row_of(job: Job, plan: Plan, measurements: Mapping[Run, Mapping[str, Any]], prices: Prices) -> StepRow:
    """What a step takes, of what its runs (`runs_of`) did."""
    chip, stages = job.run.load(), runs_of(job, plan)
    sums, steady, memory = {}, {}, 0.0
    for stage, runs in stages.items():
        layers = plan.layers_of(stage, job.size.layers)
        sums[stage] = _stage(runs, measurements, layers, plan.microbatches)
        one_more = _stage(runs, measurements, layers, plan.microbatches + 1)
        steady[stage] = (
            one_more["seconds"] - sums[stage]["seconds"] if plan.microbatches > 1 else sums[stage]["seconds"]
        )
        # In 1F1B a stage has begun as many as there are stages from it to the last one.
        under_way = min({"first": plan.pp, "middle": plan.pp - 1}.get(stage, 1), plan.microbatches)
        memory = max(memory, _stage(runs, measurements, layers, under_way)["peak_memory_bytes"])
    # The slowest stage sets the pace; behind its own work it waits while the pipeline fills and drains.
    slowest = max(sums, key=lambda stage: sums[stage]["seconds"])
    hops = 2 * (plan.pp - 1) * _hop_seconds(job, plan, chip)
    bubble = plan.idle_microbatches * steady[slowest]
    seconds = sums[slowest]["seconds"] + bubble + hops
    mean = _mix([(count / plan.pp, sums[stage]) for stage, count in plan.stages.items()])
    # A stage that is faster than the slowest waits for it.
    idle = seconds - mean["seconds"]
    joules = mean["joules"] + idle * chip.idle_watts
    tokens = job.batch * job.sequence
    flops = 3 * job.size.forward_flops(tokens, job.sequence / 2)
    price = {name: each.value for name, each in prices.of(chip.name).items()}
    paid = dollars(seconds, joules, price)
    return StepRow(
        chip=chip,
        job=job,
        plan=plan,
        fits=memory <= chip.dram_bytes,
        seconds=seconds,
        exposed_seconds=mean["seconds"] - mean["busy_seconds"] + hops,
        bubble_seconds=idle - hops,
        collective_seconds=mean["collective_seconds"],
        tokens_per_chip_second=tokens / seconds / job.chips,
        utilisation=flops / seconds / job.chips / peak_flops(chip, job.run.options.dtype),
        joules_per_token=joules * job.chips / tokens,
        dollars_per_million=None if paid is None else paid * job.chips / tokens * 1e6,
        memory_bytes=memory,
        by_kernel=mean["by_kernel"],
    )


def estimate(job: Job, plan: Plan, chip: Chip) -> float:
    """Seconds that a step takes about: products at 60 % of the peak, tensor parallel collectives behind them, FSDP's
    beside them, and the pipeline's bubble. For the order in which plans are measured."""
    size, wired = job.size, (chip.serialise(), chip.serialise_cluster())
    layers = max(plan.layers_of(stage, size.layers) for stage in plan.stages)
    tokens = job.sequence // plan.cp
    again = 1 / job.run.options.recompute if job.run.options.recompute else 0.0
    flops = (3 + again) * size.forward_flops(tokens, job.sequence / 2) / size.layers * layers / plan.tp
    work = flops / (0.6 * peak_flops(chip, job.run.options.dtype))

    def seconds(name: str, sent: float, ranks: Sequence[int]) -> float:
        return float(_C.collective_account(*wired, name, int(sent), list(ranks))["seconds"])

    if plan.tp > 1:
        activations = tokens * size.hidden * _BYTES_PER_NUMBER
        # Two gathers and two scatters forward, as many when it is made again, and as many backward.
        work += (8 + 4 * again) * layers * seconds("all_gather", activations, range(plan.tp))
    if plan.cp > 1:
        keys = 2 * job.sequence * size.key_value_heads * size.head * _BYTES_PER_NUMBER / plan.tp
        # Keys and values are gathered forward, when that is made again, and backward, where gradients go back.
        work += (3 + again) * layers * seconds("all_gather", keys, range(0, plan.tp * plan.cp, plan.tp))
    sharing = plan.tp * plan.cp * plan.fsdp
    shards = range(0, sharing, plan.tp)
    weights = (size.matrix_parameters - size.vocabulary * size.hidden) / size.layers / plan.tp
    gather = layers * seconds("all_gather", weights * _BYTES_PER_NUMBER, shards)
    scatter = layers * seconds("reduce_scatter", weights * 4, shards)
    copies = layers * seconds("all_reduce", weights * 4 / len(shards), range(0, sharing * plan.dp, sharing))
    if plan.pp == 1:
        return plan.microbatches * max(work, 2 * gather + scatter + copies)
    hops = 2 * (plan.pp - 1) * _hop_seconds(job, plan, chip)
    return (plan.microbatches + plan.idle_microbatches) * work + gather + scatter + copies + hops


def searched(job: Job, most: int = MEASURED_PLANS) -> tuple[list[Plan], int]:
    """The plans to measure, the best estimated first, and how many there are that fit.

    Raises:
        InvalidArgument: None fits.
    """
    chip = job.run.load()
    found = plans.candidates(job.chips, job.size, chip, job.sequence, job.batch, job.run.options.recompute)
    if not found:
        raise InvalidArgument(
            f"no plan for {job.chips} of {chip.name} holds {job.model}, {job.batch} sequences of {job.sequence} tokens",
            remedy="give more chips, a shorter --seq, or a --batch of a multiple of the chips",
        )
    ranked = sorted(found, key=lambda plan: estimate(job, plan, chip))
    return ranked[:most], len(found)
