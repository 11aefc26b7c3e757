// One rule a form; names of operands as in instructions.def.
#include "program/type_rules.h"

#include "base/error.h"
#include "program/disassemble.h"

namespace mtia {

void refuse_instruction(const TileProgram& program, const Instruction& instruction, const std::string& problem) {
  const auto index = static_cast<size_t>(&instruction - program.instructions.data());
  const std::string line = program.location_of(instruction);
  throw InvalidProgram(problem,
                       concat("tile program ", program.name, ", instruction ", index, " `",
                              disassemble(program, instruction), "`", line.empty() ? "" : " at ", line),
                       "compile the kernel again; a program that the compiler made is a defect to report");
}

namespace {

class TypeRules {
 public:
  TypeRules(const TileProgram& program, const Instruction& instruction) : program_(program), current_(&instruction) {}

  void check() const { check_rule(); }

 private:
  void require(bool holds, const char* problem) const {
    if (!holds) refuse_instruction(program_, *current_, problem);
  }
  const Value& value(uint32_t id) const { return program_.values[id]; }
  uint32_t operand(size_t index) const {
    return index < current_->operands.size() ? current_->operands[index] : absent;
  }
  uint32_t result(size_t index) const { return index < current_->results.size() ? current_->results[index] : absent; }
  int64_t attribute(size_t index) const { return current_->attributes[index]; }
  bool is_tile(uint32_t id) const { return id != absent && value(id).is_tile(); }
  DType dtype(uint32_t id) const { return value(id).dtype; }

  // ---- pieces of rules
  bool slots_overlap(uint32_t a, uint32_t b) const {
    const Value& x = value(a);
    const Value& y = value(b);
    const uint64_t x_begin = program_.slots[x.slot].offset;
    const uint64_t y_begin = program_.slots[y.slot].offset;
    return x_begin < y_begin + y.bytes() && y_begin < x_begin + x.bytes();
  }

  // A result and an operand either share no byte, or are the same elements in place.
  void in_place_or_apart(uint32_t d, uint32_t a) const {
    if (!is_tile(d) || !is_tile(a) || !slots_overlap(d, a)) return;
    const bool same = program_.slots[value(d).slot].offset == program_.slots[value(a).slot].offset &&
                      size_of(dtype(d)) == size_of(dtype(a)) && value(d).elements() == value(a).elements();
    require(same, "result and operand overlap in local memory");
  }
  void apart(uint32_t d, uint32_t a) const {
    if (is_tile(d) && is_tile(a)) require(!slots_overlap(d, a), "result and operand overlap in local memory");
  }

  void scalar(uint32_t id, const char* problem) const { require(id == absent || !is_tile(id), problem); }
  void integer_scalar(uint32_t id) const {
    require(id == absent || (!is_tile(id) && is_integer(dtype(id))), "a scalar integer is needed");
  }
  void address(uint32_t id) const {
    require(id != absent && !is_tile(id) && dtype(id) == DType::I64, "an address is a scalar i64");
  }
  void tile(uint32_t id) const { require(is_tile(id), "a tile is needed"); }
  void same_dtype(uint32_t a, uint32_t b) const { require(dtype(a) == dtype(b), "the dtypes differ"); }
  void same_shape(uint32_t a, uint32_t b) const {
    require(value(a).rank == value(b).rank && value(a).dims == value(b).dims, "the shapes differ");
  }
  void same_shape_or_scalar(uint32_t a, uint32_t shape) const {
    if (is_tile(a)) {
      tile(shape);
      same_shape(a, shape);
    }
  }

  // Element-wise: tiles of the result's shape, or with size 1 where the result is larger, or scalars.
  void broadcasts(uint32_t a, uint32_t d) const {
    if (!is_tile(a)) return;
    require(is_tile(d), "a scalar result of a tile operand");
    require(value(a).rank == value(d).rank, "operand and result differ in rank");
    for (size_t i = 0; i < value(d).rank; ++i) {
      require(value(a).dims[i] == value(d).dims[i] || value(a).dims[i] == 1,
              "the operand does not broadcast to the result's shape");
    }
    in_place_or_apart(d, a);
  }

  void axis_of(uint32_t a, int64_t axis) const {
    require(axis >= 0 && axis < value(a).rank, "the axis lies outside of the tile's rank");
  }

  // d is a without its axis.
  void reduced(uint32_t d, uint32_t a, int64_t axis) const {
    tile(a);
    axis_of(a, axis);
    if (value(a).rank == 1) {
      require(!is_tile(d) || (value(d).rank == 1 && value(d).dims[0] == 1), "reducing rank 1 gives a scalar");
    } else {
      tile(d);
      require(value(d).rank + 1 == value(a).rank, "the result's rank is one less");
      for (size_t i = 0, j = 0; i < value(a).rank; ++i) {
        if (static_cast<int64_t>(i) != axis)
          require(value(d).dims[j++] == value(a).dims[i], "the result's shape is the operand's without the axis");
      }
    }
    apart(d, a);
  }

  void kind_fits(int64_t kind, DType type) const {
    require(kind >= 0 && kind < static_cast<int64_t>(reduce_kind_count), "the reduction kind does not exist");
    require(is_float_kind(static_cast<ReduceKind>(kind)) == is_float(type),
            "the reduction kind does not fit the dtype");
  }

  void mask_for(uint32_t mask, uint32_t shape) const {
    if (mask == absent) return;
    require(dtype(mask) == DType::I1, "a mask is i1");
    if (!is_tile(mask)) return;
    tile(shape);
    require(value(mask).rank == value(shape).rank, "mask and tile differ in rank");
    for (size_t i = 0; i < value(shape).rank; ++i) {
      require(value(mask).dims[i] == value(shape).dims[i] || value(mask).dims[i] == 1,
              "the mask does not broadcast to the tile");
    }
  }
  void whole_mask(uint32_t mask, uint32_t shape) const {
    mask_for(mask, shape);
    if (mask != absent) same_shape_or_scalar(mask, shape);
  }

  void check_rule() const {
    const uint32_t d = result(0);
    const uint32_t a = operand(0);
    const uint32_t b = operand(1);
    const uint32_t c = operand(2);
    const Form form = info_of(current_->opcode).form;
    if (is_elementwise(form)) {
      for (const uint32_t id : current_->operands) broadcasts(id, d);
    }
    switch (form) {
      case Form::float_binary:
      case Form::float_ternary:
      case Form::float_unary:
        require(is_float(dtype(d)), "the dtype is no float");
        for (const uint32_t id : current_->operands) same_dtype(id, d);
        return;
      case Form::float_test:
        require(is_float(dtype(a)) && dtype(d) == DType::I1, "a float is tested, the result is i1");
        return;
      case Form::integer_binary:
      case Form::integer_unary:
        require(is_integer(dtype(d)), "the dtype is no integer");
        for (const uint32_t id : current_->operands) same_dtype(id, d);
        return;
      case Form::integer_compare:
        require(is_integer(dtype(a)) && dtype(d) == DType::I1, "integers are compared, the result is i1");
        same_dtype(a, b);
        require(attribute(0) >= 0 && attribute(0) <= 9, "the predicate does not exist");
        return;
      case Form::float_compare:
        require(is_float(dtype(a)) && dtype(d) == DType::I1, "floats are compared, the result is i1");
        same_dtype(a, b);
        require(attribute(0) >= 0 && attribute(0) <= 15, "the predicate does not exist");
        return;
      case Form::select:
        require(dtype(a) == DType::I1, "the condition is i1");
        same_dtype(b, d);
        same_dtype(c, d);
        return;
      case Form::float_to_float:
        require(is_float(dtype(a)) && is_float(dtype(d)), "both are floats");
        require(attribute(0) == 0 || attribute(0) == 1, "the rounding does not exist");
        return;
      case Form::integer_to_float:
        require(is_integer(dtype(a)) && is_float(dtype(d)), "an integer becomes a float");
        return;
      case Form::float_to_integer:
        require(is_float(dtype(a)) && is_integer(dtype(d)), "a float becomes an integer");
        return;
      case Form::integer_to_integer:
        require(is_integer(dtype(a)) && is_integer(dtype(d)), "both are integers");
        return;
      case Form::bitcast:
        require(size_of(dtype(a)) == size_of(dtype(d)), "the widths differ");
        return;
      case Form::copy:
        same_dtype(a, d);
        return;
      case Form::iota:
        tile(d);
        require(value(d).rank == 1 && is_integer(dtype(d)) && dtype(d) != DType::I1,
                "iota is an integer tile of rank 1");
        return;
      case Form::philox:
        return check_philox();
      case Form::permute:
        return check_permute();
      case Form::slice: {
        tile(d);
        tile(a);
        same_dtype(d, a);
        axis_of(a, attribute(0));
        require(value(d).rank == value(a).rank, "the ranks differ");
        const int64_t start = attribute(1);
        const int64_t step = attribute(2);
        const auto axis = static_cast<size_t>(attribute(0));
        require(step >= 1 && step <= int64_t{1} << 31 && start >= 0 && start <= int64_t{1} << 31,
                "start or step is out of range");
        require(start + (int64_t{value(d).dims[axis]} - 1) * step < int64_t{value(a).dims[axis]},
                "the slice runs past the end of the tile");
        for (size_t i = 0; i < value(d).rank; ++i) {
          if (i != axis) require(value(d).dims[i] == value(a).dims[i], "the shapes differ outside of the axis");
        }
        apart(d, a);
        return;
      }
      case Form::concatenate: {
        for (const uint32_t id : {d, a, b}) tile(id);
        same_dtype(a, d);
        same_dtype(b, d);
        axis_of(d, attribute(0));
        require(value(a).rank == value(d).rank && value(b).rank == value(d).rank, "the ranks differ");
        const auto axis = static_cast<size_t>(attribute(0));
        for (size_t i = 0; i < value(d).rank; ++i) {
          if (i == axis) {
            require(uint64_t{value(a).dims[i]} + value(b).dims[i] == value(d).dims[i],
                    "the sizes along the axis do not add up");
          } else {
            require(value(a).dims[i] == value(d).dims[i] && value(b).dims[i] == value(d).dims[i],
                    "the shapes differ outside of the axis");
          }
        }
        apart(d, a);
        apart(d, b);
        return;
      }
      case Form::interleave: {
        tile(d);
        same_dtype(a, d);
        same_dtype(b, d);
        require(is_tile(a) == is_tile(b), "a tile and a scalar");
        if (is_tile(a)) same_shape(a, b);
        const size_t rank = is_tile(a) ? value(a).rank : 0;
        require(value(d).rank == rank + 1 && value(d).dims[rank] == 2, "the result has a last dimension of 2 more");
        for (size_t i = 0; i < rank; ++i) require(value(d).dims[i] == value(a).dims[i], "the shapes differ");
        apart(d, a);
        apart(d, b);
        return;
      }
      case Form::gather_local: {
        for (const uint32_t id : {d, a, b}) tile(id);
        same_dtype(a, d);
        same_shape(d, b);
        require(dtype(b) == DType::I32 || dtype(b) == DType::I64, "indices are i32 or i64");
        axis_of(a, attribute(0));
        require(value(a).rank == value(d).rank, "the ranks differ");
        for (size_t i = 0; i < value(d).rank; ++i) {
          if (static_cast<int64_t>(i) != attribute(0))
            require(value(a).dims[i] == value(d).dims[i], "the shapes differ outside of the axis");
        }
        apart(d, a);
        apart(d, b);
        return;
      }
      case Form::sort:
        tile(d);
        tile(a);
        same_dtype(a, d);
        same_shape(a, d);
        axis_of(a, attribute(0));
        in_place_or_apart(d, a);
        return;
      case Form::histogram:
        tile(d);
        tile(a);
        require(value(d).rank == 1 && dtype(d) == DType::I32 && is_integer(dtype(a)),
                "histogram of integers gives i32 of rank 1");
        whole_mask(b, a);
        apart(d, a);
        apart(d, b);
        return;
      case Form::reduce:
        reduced(d, a, attribute(1));
        same_dtype(d, a);
        kind_fits(attribute(0), dtype(a));
        return;
      case Form::reduce_index:
        reduced(d, a, attribute(1));
        reduced(result(1), a, attribute(1));
        same_dtype(d, a);
        kind_fits(attribute(0), dtype(a));
        require(dtype(result(1)) == DType::I32, "the index is i32");
        if (b != absent) {
          tile(b);
          same_shape(a, b);
          require(dtype(b) == DType::I32, "positions are i32");
          apart(d, b);
          apart(result(1), b);
        }
        apart(d, result(1));
        return;
      case Form::scan:
        tile(d);
        tile(a);
        same_dtype(a, d);
        same_shape(a, d);
        kind_fits(attribute(0), dtype(a));
        axis_of(a, attribute(1));
        in_place_or_apart(d, a);
        return;
      case Form::dot:
        return check_dot();
      case Form::dot_scaled:
        return check_dot_scaled();
      case Form::dma_load:
      case Form::dma_store:
        return check_dma(form == Form::dma_load);
      case Form::gather:
      case Form::scatter:
      case Form::atomic_rmw:
      case Form::atomic_cas:
        return check_indexed(form);
      case Form::gather_rows:
      case Form::scatter_rows:
        return check_indexed_rows(form == Form::gather_rows);
      case Form::program_id:
        require(!is_tile(d) && dtype(d) == DType::I32, "the result is a scalar i32");
        require(attribute(0) >= 0 && attribute(0) <= 2, "the axis is 0, 1 or 2");
        return;
      case Form::for_begin:
        for (const uint32_t id : {d, a, b, c}) {
          integer_scalar(id);
          same_dtype(id, d);
        }
        require(dtype(d) == DType::I32 || dtype(d) == DType::I64, "a loop counts in i32 or i64");
        return;
      case Form::test:
        require(!is_tile(a) && dtype(a) == DType::I1, "the condition is a scalar i1");
        return;
      case Form::assertion:
        require(dtype(a) == DType::I1, "the condition is i1");
        if (b != absent) {
          require(dtype(b) == DType::I1, "a mask is i1");
          same_shape_or_scalar(b, a);
        }
        string_number(attribute(0));
        return;
      case Form::range_check:
        require(is_float(dtype(a)) || (is_integer(dtype(a)) && dtype(a) != DType::I1), "an i1 has no range");
        for (const uint32_t id : {b, c}) {
          scalar(id, "bounds are scalars");
          same_dtype(id, a);
        }
        integer_scalar(operand(3));
        whole_mask(operand(4), a);
        require(attribute(0) == 0 || attribute(0) == 1, "the kind is 0 or 1");
        string_number(attribute(1));
        return;
      case Form::print:
        for (const uint32_t id : current_->operands) require(id != absent, "a printed value is absent");
        string_number(attribute(0));
        require(attribute(1) >= 0 && attribute(1) <= 2, "the format is 0, 1 or 2");
        return;
      case Form::block_begin:
      case Form::block_else:
      case Form::block_end:
      case Form::none:
        return;
    }
  }

  void string_number(int64_t number) const {
    require(number >= 0 && static_cast<uint64_t>(number) < program_.strings.size(),
            "the message string does not exist");
  }

  void check_philox() const {
    uint32_t made = absent;
    for (size_t r = 0; r < current_->results.size(); ++r) {
      const uint32_t id = result(r);
      if (id == absent) continue;
      require(dtype(id) == DType::I32, "philox gives i32");
      if (made != absent) {
        require(is_tile(id) == is_tile(made), "results are all tiles or all scalars");
        if (is_tile(id)) same_shape(id, made);
        for (size_t o = 0; o < r; ++o) {
          if (result(o) != absent) apart(id, result(o));
        }
      }
      made = id;
    }
    require(made != absent, "philox without a result");
    require(attribute(0) >= 1 && attribute(0) <= 64, "rounds are 1 to 64");
    for (const uint32_t id : current_->operands) {
      require(dtype(id) == DType::I32 || dtype(id) == DType::I64, "seeds and counters are i32 or i64");
      same_shape_or_scalar(id, made);
      for (const uint32_t r : current_->results) {
        if (r != absent) philox_apart(r, id);
      }
    }
  }
  // Blocks of counters are read before their words are written, so the same i32 slot may serve both.
  void philox_apart(uint32_t d, uint32_t a) const { in_place_or_apart(d, a); }

  void check_permute() const {
    const uint32_t d = result(0);
    const uint32_t a = operand(0);
    tile(d);
    tile(a);
    same_dtype(d, a);
    require(value(d).rank == value(a).rank && current_->attributes.size() == value(d).rank,
            "permutation and ranks differ");
    unsigned seen = 0;
    for (size_t i = 0; i < value(d).rank; ++i) {
      require(attribute(i) >= 0 && attribute(i) < value(a).rank,
              "the permutation names a dimension that does not exist");
      seen |= 1U << attribute(i);
      require(value(d).dims[i] == value(a).dims[static_cast<size_t>(attribute(i))],
              "the shape is not the permuted one");
    }
    require(seen == (1U << value(d).rank) - 1, "the permutation names a dimension twice");
    apart(d, a);
  }

  // d[m,n] = a[m,k] b[k,n] + c, where a byte of a and b may hold several elements along k.
  void check_product(uint64_t a_elements, uint64_t b_elements) const {
    const uint32_t d = result(0);
    const uint32_t a = operand(0);
    const uint32_t b = operand(1);
    const uint32_t c = operand(2);
    for (const uint32_t id : {d, a, b}) tile(id);
    const size_t rank = value(d).rank;
    require((rank == 2 || rank == 3) && value(a).rank == rank && value(b).rank == rank,
            "operands and result have rank 2 or 3");
    require(batch_fits(a, d) && batch_fits(b, d), "the batch sizes differ");
    const size_t m = rank - 2;
    const size_t n = rank - 1;
    require(value(a).dims[m] == value(d).dims[m] && value(b).dims[n] == value(d).dims[n] &&
                value(a).dims[n] * a_elements == value(b).dims[m] * b_elements,
            "the shapes do not multiply");
    if (c == absent) return;
    same_dtype(c, d);
    if (!is_tile(c)) return;
    same_shape(c, d);
    in_place_or_apart(d, c);
  }

  bool batch_fits(uint32_t id, uint32_t d) const { return value(d).rank == 2 || value(id).dims[0] == value(d).dims[0]; }

  void check_dot() const {
    check_product(1, 1);
    same_dtype(operand(0), operand(1));
    const DType type = dtype(operand(0));
    const DType sums = type == DType::F64 ? DType::F64 : (type == DType::I8 ? DType::I32 : DType::F32);
    require(is_float(type) || type == DType::I8, "the engine multiplies floats and i8");
    require(dtype(result(0)) == sums, "the result has the accumulator's dtype: f32, f64 for f64, i32 for i8");
    require(attribute(0) >= 0 && attribute(0) <= 4, "the precision does not exist");
    for (const size_t o : {0, 1}) in_place_or_apart(result(0), operand(o));  // the decoder then sets the operand aside
  }

  void check_dot_scaled() const {
    const auto elements = [this](uint32_t id) -> uint64_t { return dtype(id) == DType::I8 ? 2 : 1; };
    check_product(elements(operand(0)), elements(operand(1)));
    const uint32_t d = result(0);
    require(dtype(d) == DType::F32, "the result is f32");
    const size_t m = value(d).rank - 2U;
    const uint64_t k = value(operand(0)).dims[m + 1] * elements(operand(0));
    for (const size_t o : {0, 1}) {
      const DType type = dtype(operand(o));
      require(type == DType::I8 || type == DType::F8E4M3 || type == DType::F8E5M2, "the engine scales f8 and e2m1");
      apart(d, operand(o));
      const uint32_t scale = operand(3 + o);
      if (scale == absent) continue;
      tile(scale);
      require(
          value(scale).rank == value(d).rank && batch_fits(scale, d) && value(scale).dims[m] == value(d).dims[m + o],
          "a row of scales for each row of a and column of b");
      require(dtype(scale) == DType::I8 || dtype(scale) == DType::F8E4M3, "scales are exponents or f8e4m3");
      require(k % (2 * value(scale).dims[m + 1]) == 0, "the scales do not part k into equal groups of pairs");
      apart(d, scale);
    }
  }

  void check_dma(bool load) const {
    const uint32_t moved = load ? result(0) : operand(1);
    address(operand(0));
    mask_for(operand(2), moved);
    const size_t rank = is_tile(moved) ? value(moved).rank : 0;
    require(current_->operands.size() == 3 + 5 * rank, "five operands a dimension of the tile");
    for (size_t i = 3; i < current_->operands.size(); ++i) integer_scalar(operand(i));
    for (size_t d = 0; d < rank; ++d) {
      require(operand(3 + 5 * d) != absent || value(moved).dims[d] == 1, "a dimension without a stride");
    }
    if (!load) return;
    if (operand(1) != absent) {
      scalar(operand(1), "`other` is a scalar");
      same_dtype(operand(1), moved);
    }
    if (is_tile(operand(2))) apart(moved, operand(2));
  }

  void check_indexed(Form form) const {
    const uint32_t base = operand(0);
    const uint32_t offset = operand(1);
    if (base != absent) address(base);
    require(dtype(offset) == DType::I32 || dtype(offset) == DType::I64, "offsets are i32 or i64");
    if (base == absent) require(dtype(offset) == DType::I64, "byte addresses are i64");
    const uint32_t d = result(0);
    if (form == Form::gather) {
      require(is_tile(d) == is_tile(offset), "offsets and result are both tiles or both scalars");
      if (is_tile(d)) same_shape(d, offset);
      whole_mask(operand(2), d);
      if (operand(3) != absent) {
        same_dtype(operand(3), d);
        same_shape_or_scalar(operand(3), d);
        in_place_or_apart(d, operand(3));
      }
      in_place_or_apart(d, offset);
      if (operand(2) != absent) apart(d, operand(2));
      return;
    }
    const uint32_t moved = operand(2);
    require(!is_tile(moved) || is_tile(offset), "offsets of a tile are a tile");
    if (is_tile(moved)) same_shape(moved, offset);
    if (form == Form::atomic_cas) {
      same_dtype(operand(3), moved);
      same_shape_or_scalar(operand(3), offset);
    } else {
      whole_mask(operand(3), offset);
    }
    if (form == Form::atomic_rmw) {
      require(attribute(0) >= 1 && attribute(0) <= 10, "the atomic kind does not exist");
      require(dtype(moved) != DType::F8E4M3 && dtype(moved) != DType::F8E5M2, "no atomics on f8");
    }
    if (d == absent) return;
    same_dtype(d, moved);
    require(is_tile(d) == is_tile(offset), "offsets and result are both tiles or both scalars");
    if (!is_tile(d)) return;
    same_shape(d, offset);
    for (const uint32_t id : current_->operands) in_place_or_apart(d, id);
  }

  void check_indexed_rows(bool load) const {
    const uint32_t moved = load ? result(0) : operand(2);
    const uint32_t offset = operand(1);
    address(operand(0));
    require(dtype(offset) == DType::I32 || dtype(offset) == DType::I64, "offsets are i32 or i64");
    require(is_tile(moved) && is_tile(offset), "rows and their offsets are tiles");
    one_a_row(offset, moved);
    const uint32_t mask = operand(load ? 2 : 3);
    if (mask != absent) {
      require(dtype(mask) == DType::I1, "a mask is i1");
      if (is_tile(mask)) one_a_row(mask, moved);
    }
    integer_scalar(operand(4));
    integer_scalar(operand(5));
    if (!load) return;
    if (operand(3) != absent) {
      scalar(operand(3), "`other` is a scalar");
      same_dtype(operand(3), moved);
    }
    apart(moved, offset);
    if (is_tile(mask)) apart(moved, mask);
  }

  // `id` has the shape of `rows` but for a last dimension of one element.
  void one_a_row(uint32_t id, uint32_t rows) const {
    const Value& one = value(id);
    const Value& all = value(rows);
    bool fits = one.rank == all.rank && one.dims[one.rank - 1] == 1;
    for (uint32_t d = 0; fits && d + 1 < all.rank; ++d) fits = one.dims[d] == all.dims[d];
    require(fits, "offsets and masks of rows have one element a row");
  }

  const TileProgram& program_;
  const Instruction* current_;
};

}  // namespace

void check_types(const TileProgram& program, const Instruction& instruction) {
  TypeRules(program, instruction).check();
}

}  // namespace mtia
