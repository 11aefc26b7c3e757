"""Misuse of the C++ tile API that types show fails to compile, under the rule's name and with the kernel's line."""

import re
from pathlib import Path

import pytest
import torch

from mtia_core import errors

PROLOGUE = """#include <mtia/kernel.h>
using namespace mtia;
struct Arguments { Tensor<const bfloat16, 2> a; Tensor<bfloat16, 2> c; Tensor<const float, 1> x; };
MTIA_ARGUMENTS(Arguments, a, c, x);
struct Buffers { CircularBuffer<Tile<bfloat16, 32, 64>, 2> ring; };
"""

# A rule, and the smallest statement of a role that breaks it.
BODIES = {
    "mtia_rule_dot_inner_sizes_must_agree": "auto b = pe.allocate<Tile<bfloat16, 32, 32>>(); "
    "auto sum = pe.allocate<Accumulator<float, 32, 32>>(); pe.dot(sum, tile, b);",
    "mtia_rule_dot_outer_sizes_must_agree": "auto b = pe.allocate<Tile<bfloat16, 64, 32>>(); "
    "auto sum = pe.allocate<Accumulator<float, 32, 64>>(); pe.dot(sum, tile, b);",
    "mtia_rule_dot_operands_must_have_the_same_elements": "auto b = pe.allocate<Tile<float, 64, 32>>(); "
    "auto sum = pe.allocate<Accumulator<float, 32, 32>>(); pe.dot(sum, tile, b);",
    "mtia_rule_dot_accumulates_in_float_double_or_int32": "auto b = pe.allocate<Tile<bfloat16, 64, 32>>(); "
    "auto sum = pe.allocate<Accumulator<double, 32, 32>>(); pe.dot(sum, tile, b);",
    "mtia_rule_dot_multiplies_floats_and_int8": "auto b = pe.allocate<Tile<int16_t, 64, 64>>(); "
    "auto sum = pe.allocate<Accumulator<int32_t, 64, 64>>(); pe.dot(sum, b, b);",
    "mtia_rule_accumulators_are_float_double_or_int32": "pe.allocate<Accumulator<bfloat16, 32, 32>>();",
    "mtia_rule_dma_does_not_convert": "auto b = pe.allocate<Tile<float, 32, 64>>(); pe.load(b, arguments.a.at(0, 0));",
    "mtia_rule_a_tensor_of_const_elements_is_read_only": "pe.store(arguments.a.at(0, 0), tile);",
    "mtia_rule_a_tensor_of_one_dimension_moves_as_a_row_or_a_column": "auto b = pe.allocate<Tile<float, 4, 4>>(); "
    "pe.load(b, arguments.x.at(0));",
    "mtia_rule_elements_must_agree": "auto b = pe.allocate<Tile<float, 32, 64>>(); pe.add(tile, tile, b);",
    "mtia_rule_operand_must_broadcast_to_the_result": "auto b = pe.allocate<Tile<bfloat16, 32, 2>>(); "
    "pe.add(tile, tile, b);",
    "mtia_rule_the_chip_has_no_such_operation_on_these_elements": "auto b = pe.allocate<Tile<int32_t, 8, 8>>(); "
    "pe.exp(b, b);",
    "mtia_rule_tile_must_be_row_major": "auto b = pe.allocate<Tile<bfloat16, 64, 32>>(); "
    "pe.add(tile, tile, b.transposed());",
    "mtia_rule_extents_must_agree": "auto b = pe.allocate<Tile<float, 32, 32>>(); pe.convert(b, tile);",
    "mtia_rule_a_front_window_is_read_only": "auto page = pe.front(buffers.ring); pe.fill(page, 0);",
    "mtia_rule_a_window_must_fit_its_circular_buffer": "auto pages = pe.reserve<3>(buffers.ring);",
    "mtia_rule_a_window_of_several_pages_needs_an_index": "auto two = pe.reserve<2>(buffers.ring); pe.fill(two, 0);",
    "mtia_rule_slice_must_lie_inside_its_tile": "pe.fill(tile.slice<33, 64>(0, 0), 0);",
    "mtia_rule_reshape_must_keep_the_number_of_elements": "pe.fill(tile.reshape<32, 32>(), 0);",
    "mtia_rule_a_transpose_exchanges_the_extents": "pe.transpose(tile, tile);",
    "mtia_rule_a_reduction_gives_one_column_or_one_row": "auto b = pe.allocate<Tile<bfloat16, 32, 2>>(); "
    "pe.reduce(Reduce::sum, b, tile);",
    "mtia_rule_a_comparison_gives_bool_elements": "pe.compare(Compare::less, tile, tile, 0);",
    "mtia_rule_a_condition_has_bool_elements": "pe.select(tile, tile, tile, 0);",
    "mtia_rule_iota_counts_in_integers": "pe.iota(tile, 0);",
    "mtia_rule_an_operation_needs_a_tile": "pe.add(tile, 1, 2);",
    "mtia_rule_indices_are_int32_or_int64": "auto b = pe.allocate<Tile<float, 1, 32>>(); "
    "pe.gather(tile, arguments.a.at(0, 0), b);",
    "mtia_rule_a_dynamic_tile_needs_its_extents": "pe.allocate<Tile<float>>();",
    "mtia_rule_tile_extents_must_be_positive": "pe.allocate<Tile<float, 0, 4>>();",
    "mtia_rule_elements_must_be_of_a_chip_type": "pe.allocate<Tile<long double, 4, 4>>();",
    "mtia_rule_indices_are_one_row_or_one_column": "auto b = pe.allocate<Tile<int32_t, 4, 8>>(); "
    "pe.gather(tile, arguments.a.at(0, 0), b);",
    "mtia_rule_a_circular_buffer_of_dynamic_tiles_needs_its_extents": "CircularBuffer<Tile<float>, 2> b(pe);",
    "mtia_rule_circular_buffers_have_at_most_64_pages": "CircularBuffer<Tile<float, 1, 1>, 65> b(pe);",
    "mtia_rule_an_operand_is_a_tile_or_a_number": 'pe.add(tile, tile, "text");',
    "mtia_rule_tensors_have_one_to_eight_dimensions": "Tensor<float, 9> b; (void)b;",
    "mtia_rule_reshape_needs_a_row_major_tile": "pe.fill(tile.transposed().reshape<32, 64>(), 0);",
}

# And rules of the file around the roles.
FILES = {
    "mtia_rule_every_argument_must_be_listed": "struct More { float a, b; };\nMTIA_ARGUMENTS(More, a);\n",
    "mtia_rule_arguments_must_be_named": "struct More { float a; };\nvoid f(ProcessingElement&, const More&) {}\n"
    "MTIA_KERNEL(k, f);\n",
    "mtia_rule_arguments_are_a_plain_struct": "struct More { float a; More(); ~More(); };\nMTIA_ARGUMENTS(More, a);\n",
    "mtia_rule_an_argument_is_a_tensor_a_number_or_a_work_queue": "struct M { void* a; };\nMTIA_ARGUMENTS(M, a);\n",
    "mtia_rule_a_role_is_void_of_ProcessingElement_const_Arguments_and_Shared": "int f(int) { return 0; }\n"
    "MTIA_KERNEL(k, f);\n",
    "mtia_rule_roles_must_take_the_same_arguments": "struct More { float a; };\nMTIA_ARGUMENTS(More, a);\n"
    "void f(ProcessingElement&, const More&) {}\nvoid g(ProcessingElement&, const Arguments&) {}\n"
    "MTIA_KERNEL(k, f, g);\n",
    "mtia_rule_roles_must_share_the_same_struct": "struct More {};\n"
    "void f(ProcessingElement&, const Arguments&, More&) {}\n"
    "void g(ProcessingElement&, const Arguments&, Buffers&) {}\nMTIA_KERNEL(k, f, g);\n",
    "mtia_rule_a_kernel_has_one_to_four_roles": "void f(ProcessingElement&) {}\nMTIA_KERNEL(k, f, f, f, f, f);\n",
    "mtia_rule_circular_buffers_hold_tiles": "CircularBuffer<Accumulator<float, 4, 4>, 2>* ring;\n"
    "uint32_t f() { return ring->number(); }\n",
}


def compile_text(folder: Path, text: str) -> None:
    source = folder / "kernel.cpp"
    source.write_text(PROLOGUE + text)
    torch.mtia_sim.load_kernel(source)


def role(body: str) -> str:
    return (
        "void role(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {\n"
        "  (void)arguments; (void)buffers;\n  auto tile = pe.allocate<Tile<bfloat16, 32, 64>>();\n"
        f"  {body}\n}}\nMTIA_KERNEL(k, role);\n"
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("rule", BODIES)
def test_a_broken_rule_is_named_with_its_line(rule: str, tmp_path: Path) -> None:
    text = role(BODIES[rule])
    line = (PROLOGUE + text).splitlines().index(f"  {BODIES[rule]}") + 1
    with pytest.raises(errors.InvalidProgram) as raised:
        compile_text(tmp_path, text)
    message = str(raised.value)
    assert f"it breaks {rule}" in message
    assert f"kernel.cpp:{line}" in message


@pytest.mark.parametrize("rule", FILES)
def test_a_broken_rule_of_the_file_is_named(rule: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidProgram, match=f"it breaks {rule}"):
        compile_text(tmp_path, FILES[rule])


def test_every_rule_of_the_header_is_tested() -> None:
    header = Path(torch.mtia_sim.__path__[0]) / "include" / "mtia"
    rules = {rule for path in header.glob("*.h") for rule in re.findall(r"\"(mtia_rule_\w+)", path.read_text())}
    assert rules == set(BODIES) | set(FILES)
