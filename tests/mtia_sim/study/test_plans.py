"""Plans of many chips: how they are read, what they refuse, and which a search goes through."""

import pytest

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study.llama import SIZES
from mtia_sim.study.plans import Plan, candidates, check, memory_bytes, parse_chips, parse_plan, with_batch


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("mtia300x16", ("mtia300", 16)),
        ("mi300x", ("mi300x", 1)),
        ("mi300xx8", ("mi300x", 8)),
        ("a.tomlx2", ("a.toml", 2)),
    ],
)
def test_chips_may_have_a_number(given: str, found: tuple[str, int]) -> None:
    assert parse_chips(given) == found


def test_what_a_plan_leaves_out_is_sharded() -> None:
    plan = parse_plan("tp=8,pp=16", 16384, batch=2048)
    assert plan == Plan(fsdp=128, tp=8, pp=16, microbatches=16)
    assert (plan.chips, plan.sequences, str(plan)) == (16384, 2048, "fsdp=128,tp=8,pp=16")
    assert parse_plan("fsdp=8", 8) == Plan(fsdp=8, microbatches=1)  # as many sequences as chips
    assert parse_plan("fsdp=16,dp=4", 64).dp == 4
    # Llama 3 405B's long sequences, arXiv 2407.21783, table 4: ranks of cp share a sequence.
    plan = parse_plan("tp=8,cp=16,pp=16", 16384, batch=128)
    assert (plan.fsdp, plan.microbatches, plan.chips, str(plan)) == (8, 16, 16384, "fsdp=8,tp=8,cp=16,pp=16")


@pytest.mark.parametrize(
    ("plan", "chips_there", "batch", "problem"),
    [
        ("fsdp=16,tp=8", 16384, None, "is for 128 chips, and there are 16384; .*dp=128 more would fill them"),
        ("tp=3", 16, None, "16 chips are no multiple of the 3"),
        ("cp=3", 16, None, "16 chips are no multiple of the 3"),
        ("ep=2", 16, None, "has no 'ep'; its parts are fsdp, tp, cp, pp, dp or v"),
        (" ", 16, None, "--plan says nothing; write fsdp=16,tp=8,pp=4 or auto"),
        ("tp", 16, None, "'tp' is no part of a plan; write fsdp=16,tp=8,pp=4 or auto"),
        ("tp=0", 16, None, "'tp=0' is no part of a plan"),
        ("tp=2,tp=4", 16, None, "says tp twice"),
        ("fsdp=16", 16, 24, "24 sequences cannot be spread over the 16 .*; give --batch a multiple of 16"),
    ],
)
def test_impossible_plans_name_the_remedy(plan: str, chips_there: int, batch: int | None, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        parse_plan(plan, chips_there, batch)


@pytest.mark.parametrize(
    ("chips_given", "problem"),
    [("mtia300x0", "are none"), ("mtia300x99999999", "more than a process can stand for; give 1048576 or fewer")],
)
def test_impossible_numbers_of_chips_are_refused(chips_given: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        parse_chips(chips_given)


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (Plan(tp=16), "tp=16 does not divide the 8 key and value heads of llama3-8b; give tp of 1, 2, 4 or 8"),
        (Plan(pp=64), "pp=64 stages are too many for the 32 layers of llama3-8b; give pp of 32 or less"),
        (Plan(pp=8, v=5), "v=5 groups of layers a stage"),
        (Plan(v=2), "v=2 groups of layers a stage"),
        (Plan(tp=2, cp=16), "1000 tokens cannot be dealt to cp=16 and tp=2; give --seq a multiple of 64"),
    ],
)
def test_a_model_is_cut_where_it_can_be(plan: Plan, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        check(plan, SIZES["llama3-8b"], "llama3-8b", 1000 if plan.cp > 1 else 8192)


def test_sequences_are_cut_by_tensor_parallel_ranks_alone() -> None:
    check(Plan(tp=2), SIZES["llama3-8b"], "llama3-8b", 1002)
    with pytest.raises(InvalidArgument, match="dealt to cp=1 and tp=2; give --seq a multiple of 2"):
        check(Plan(tp=2), SIZES["llama3-8b"], "llama3-8b", 1003)


def test_stages_have_all_layers_together() -> None:
    for layers in (32, 80, 126):
        for pp in (1, 2, 3, 4, 8, 16, 32):
            plan = Plan(pp=pp)
            assert sum(plan.layers_of(stage, layers) * count for stage, count in plan.stages.items()) >= layers
    # Llama 3 405B, arXiv 2407.21783: one layer less in the first and the last of 16 stages.
    plan = Plan(pp=16)
    assert [plan.layers_of(stage, 126) for stage in plan.stages] == [7, 8, 7]


def test_a_search_finds_what_fits() -> None:
    chip, size = chips.load("h100"), SIZES["llama3-70b"]
    found = candidates(256, size, chip, 8192, 256)
    assert found and len(set(found)) == len(found)
    for plan in found:
        check(plan, size, "llama3-70b", 8192)
        assert plan.chips == 256 and plan.sequences == 256 and plan.tp <= chip.domain_chips
        assert memory_bytes(plan, size, 8192) <= chip.dram_bytes
    assert any(plan.pp > 1 for plan in found) and any(plan.tp > 1 for plan in found)
    assert candidates(1, size, chip, 8192, 1) == []  # 70e9 x 16 bytes
    # One sequence of a million tokens fits 64 chips in parts alone.
    long = candidates(64, SIZES["llama3-8b"], chip, 1 << 20, 1)
    assert long and all(plan.cp > 1 for plan in long)
    assert candidates(1, SIZES["llama3-8b"], chip, 8192, 1) == []
    assert candidates(10**10, size, chip, 8192, 10**10)  # at once


def test_a_batch_makes_microbatches() -> None:
    assert with_batch(Plan(fsdp=4, pp=2), 16).microbatches == 4
    assert Plan(pp=4, microbatches=8).idle_microbatches == 3
    assert Plan(pp=4, v=3, microbatches=8).idle_microbatches == 1
