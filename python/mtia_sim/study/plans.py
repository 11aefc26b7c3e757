"""Plans of parallel training: which chips hold which part of a model, what that needs of memory, and which plans there
are for a number of chips."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mtia_core import chips as chip_files
from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument
from mtia_sim.study.llama import Size

AUTO = "auto"
# Of a parameter: its float32 master, gradient and two moments of AdamW, all sharded.
_BYTES_PER_PARAMETER = 16
_BYTES_PER_NUMBER = 2  # of weights and activations at work, bfloat16
_LOGITS_BYTES = 10  # of a logit: bfloat16, float32 and its gradient
_PARTS = ("fsdp", "tp", "cp", "pp", "dp", "v")
_SHORTEST_PART = 4096  # tokens: a search cuts sequences into no shorter parts
_MOST_CHIPS = 1 << 20  # every group of a job is listed rank by rank
_FORM = "write fsdp=16,tp=8,pp=4 or auto"


@dataclass(frozen=True)
class Plan:
    """How many chips share what: `fsdp` shards of weights, gradients and moments, `dp` copies of all shards, `tp` parts
    of each layer, `cp` parts of each sequence and `pp` stages of layers. Ranks of cp share weights as well, so there
    are fsdp * cp shards. A rank's neighbours are those of tp, then of cp, fsdp, dp and pp.

    v: groups of layers that a stage has, in different places of the model (interleaved 1F1B).
    microbatches: sequences, one after the other, that a data-parallel rank takes in a step.
    """

    fsdp: int = 1
    tp: int = 1
    pp: int = 1
    dp: int = 1
    v: int = 1
    microbatches: int = 1
    cp: int = 1

    @property
    def chips(self) -> int:
        """All of them."""
        return self.fsdp * self.tp * self.cp * self.pp * self.dp

    @property
    def sequences(self) -> int:
        """Of one step of the whole job."""
        return self.fsdp * self.dp * self.microbatches

    def __str__(self) -> str:
        parts = [f"{name}={count}" for name in _PARTS if (count := getattr(self, name)) > 1]
        return ",".join(parts) or "fsdp=1"

    @property
    def idle_microbatches(self) -> float:
        """For so many microbatches a stage of a pipeline has nothing to do (Narayanan et al., arXiv:2104.04473)."""
        return (self.pp - 1) / self.v

    def layers_of(self, stage: str, layers: int) -> int:
        """How many a "first", "middle" or "last" stage has of a model's layers, or the "only" one.

        Where they cannot be equal the middle ones have one more, since the others have the model's ends.
        """
        fewest, more = divmod(layers, self.pp)
        if stage == "middle":
            return fewest + (1 if more else 0)
        return fewest + (1 if more > max(0, self.pp - 2) else 0)

    @property
    def stages(self) -> dict[str, int]:
        """Kinds of stages, and how many there are of each."""
        if self.pp == 1:
            return {"only": 1}
        return {"first": 1, **({"middle": self.pp - 2} if self.pp > 2 else {}), "last": 1}


def parse_chips(given: str) -> tuple[str, int]:
    """Chip and how many of "mtia300x16", or of "mtia300": 1.

    Raises:
        InvalidArgument: There are none, or too many.
    """
    found = re.fullmatch(r"(.+?)x(\d+)", given)
    if found is None:
        return given, 1
    count = int(found[2])
    if found[1] not in chip_files.names() and f"{found[1]}x" in chip_files.names():
        raise InvalidArgument(f"--chips {given!r}: there is no {found[1]}", remedy=f"write {found[1]}xx{count}")
    if count < 1:
        raise InvalidArgument(f"--chips {given!r} are none", remedy="write a number of 1 or more: mtia300x16")
    if count > _MOST_CHIPS:
        raise InvalidArgument(
            f"--chips {given!r} are more than a process can stand for", remedy=f"give {_MOST_CHIPS} or fewer"
        )
    return found[1], count


def parse_plan(given: str, chips: int, batch: int | None = None) -> Plan:
    """A plan of so many chips, of text such as "fsdp=16,tp=8"; without fsdp that is what the others leave.

    batch: Sequences of a step of the whole job; None: as many as there are chips.

    Raises:
        InvalidArgument: It is no plan, or one of another number of chips.
    """
    if not given.strip():
        raise InvalidArgument("--plan says nothing", remedy=_FORM)
    counts: dict[str, int] = {}
    for part in filter(None, given.split(",")):
        found = re.fullmatch(r"(\w+)=(\d+)", part.strip())
        if found is None or int(found[2]) < 1:
            raise InvalidArgument(f"--plan {given!r}: {part!r} is no part of a plan", remedy=_FORM)
        if found[1] not in _PARTS:
            raise InvalidArgument(f"--plan {given!r} has no {found[1]!r}", remedy=f"its parts are {_listed(_PARTS)}")
        if found[1] in counts:
            raise InvalidArgument(f"--plan {given!r} says {found[1]} twice", remedy="say it once")
        counts[found[1]] = int(found[2])
    plan = Plan(**{"fsdp": 1, **counts})
    if "fsdp" not in counts:
        if chips % plan.chips:
            raise InvalidArgument(
                f"{chips} chips are no multiple of the {plan.chips} of --plan {given!r}",
                remedy=f"give a multiple of {plan.chips} chips, or smaller numbers",
            )
        plan = replace(plan, fsdp=chips // plan.chips)
    if plan.chips != chips:
        left = f"; dp={chips // plan.chips} more would fill them" if chips % plan.chips == 0 else ""
        raise InvalidArgument(
            f"--plan {given!r} is for {plan.chips} chips, and there are {chips}",
            remedy=f"leave fsdp out, which then is what the others leave{left}",
        )
    return with_batch(plan, batch or chips)


def with_batch(plan: Plan, batch: int) -> Plan:
    """The plan with the microbatches of so many sequences a step.

    Raises:
        InvalidArgument: They cannot be spread over its data-parallel ranks.
    """
    ranks = plan.fsdp * plan.dp
    if batch % ranks:
        raise InvalidArgument(
            f"{batch} sequences cannot be spread over the {ranks} data-parallel ranks of {plan}",
            remedy=f"give --batch a multiple of {ranks}",
        )
    return replace(plan, microbatches=batch // ranks)


def check(plan: Plan, size: Size, model: str, sequence: int) -> None:
    """Refuses what the model, or a sequence of so many tokens, cannot be cut into.

    Raises:
        InvalidArgument: As said.
    """
    if size.key_value_heads % plan.tp:
        raise InvalidArgument(
            f"tp={plan.tp} does not divide the {size.key_value_heads} key and value heads of {model}",
            remedy=f"give tp of {_listed(_divisors(size.key_value_heads))}",
        )
    if sequence % (parts := _sequence_parts(plan.tp, plan.cp)):
        raise InvalidArgument(
            f"{sequence} tokens cannot be dealt to cp={plan.cp} and tp={plan.tp}",
            remedy=f"give --seq a multiple of {parts}",
        )
    fewest = min(plan.layers_of(stage, size.layers) for stage in plan.stages)
    if fewest < 1:
        raise InvalidArgument(
            f"pp={plan.pp} stages are too many for the {size.layers} layers of {model}",
            remedy=f"give pp of {size.layers} or less",
        )
    if plan.v > fewest or (plan.v > 1 and plan.pp == 1):
        raise InvalidArgument(
            f"v={plan.v} groups of layers a stage, and {plan} has stages of {fewest} layers of {model}",
            remedy=f"give v of {fewest} or less, and pp",
        )


def memory_bytes(plan: Plan, size: Size, sequence: int, recompute: int = 1) -> float:
    """About what a chip of the first stage needs: shards, the layers that are gathered, inputs of the layers of each
    microbatch under way, one layer's activations, and in a model of one stage the logits. recompute: As of Options."""
    layers = max(plan.layers_of(stage, size.layers) for stage in plan.stages)
    of_layer = (size.matrix_parameters - size.vocabulary * size.hidden) / size.layers / plan.tp
    ends = size.vocabulary * size.hidden / plan.tp * (2 if plan.pp == 1 else 1)
    parameters = layers * of_layer + ends
    sequence = sequence // plan.cp
    shards = parameters * _BYTES_PER_PARAMETER / (plan.fsdp * plan.cp)
    gathered = _BYTES_PER_NUMBER * (2 * of_layer + ends) if plan.pp == 1 else _BYTES_PER_NUMBER * parameters
    under_way = min(plan.pp, plan.microbatches)
    again = 1 / recompute if recompute else 0.0  # of the layers, which keep their inputs alone
    at_work = sequence * (10 * size.hidden + 4 * size.intermediate / plan.tp) * _BYTES_PER_NUMBER
    kept = layers * under_way * (again * sequence * size.hidden * _BYTES_PER_NUMBER + (1 - again) * at_work)
    logits = sequence * size.vocabulary / plan.tp * _LOGITS_BYTES if plan.pp == 1 else 0
    return shards + (gathered if plan.fsdp * plan.cp > 1 else 0) + kept + at_work + logits


def candidates(chips: int, size: Size, chip: Chip, sequence: int, batch: int, recompute: int = 1) -> list[Plan]:
    """All plans of so many chips that the model and the batch can be cut into and that fit, as far as `memory_bytes`
    tells; tensor parallel ranks are within a scale-up domain."""
    domain = int(chip.domain_chips) or chips
    return [
        plan
        for plan in _plans(chips, size, domain, sequence, batch)
        if memory_bytes(plan, size, sequence, recompute) <= float(chip.dram_bytes)
    ]


def _plans(chips: int, size: Size, domain: int, sequence: int, batch: int) -> Iterator[Plan]:
    for tp, cp in itertools.product(_divisors(size.key_value_heads), _parts_of(sequence)):
        if tp > domain or chips % (tp * cp) or sequence % _sequence_parts(tp, cp):
            continue
        for pp in (1 << power for power in range(size.layers.bit_length())):
            if pp > size.layers or chips % (tp * cp * pp):
                continue
            rest = chips // (tp * cp * pp)
            if batch % rest:
                continue
            for fsdp in _divisors(rest):
                if fsdp < min(rest, 8):  # fewer shards than a server of eight has chips save little
                    continue
                plan = Plan(fsdp, tp, pp, rest // fsdp, microbatches=batch // rest, cp=cp)
                yield plan
                fewest = min(plan.layers_of(stage, size.layers) for stage in plan.stages)
                if pp > 1 and fewest > 1:
                    yield replace(plan, v=fewest)


def _sequence_parts(tp: int, cp: int) -> int:
    """Each rank of cp has two parts of a sequence, a late one for an early one, which tp cuts between layers."""
    return 2 * cp * tp if cp > 1 else tp


def _parts_of(sequence: int) -> list[int]:
    return [1, *(1 << power for power in range(1, 11) if sequence >> power >= _SHORTEST_PART)]


def _divisors(number: int) -> list[int]:
    low = [candidate for candidate in range(1, math.isqrt(number) + 1) if number % candidate == 0]
    return sorted({*low, *(number // candidate for candidate in low)})


def _listed(things: Sequence[object]) -> str:
    *most, last = map(str, things)
    return f"{', '.join(most)} or {last}" if most else last
