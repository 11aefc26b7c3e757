// The computing units of the C++ kernel API: dot product engine, vector core, SIMD engine, reduction engine.
#include <cstring>
#include <initializer_list>
#include <span>
#include <vector>

#include "emulator/inspection/call_observer.h"
#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/processing_element.h"
#include "emulator/pe/vector_core/loops.h"
#include "host_math/dot.h"
#include "host_math/random.h"
#include "host_math/reductions.h"

namespace mtia::emulator {
namespace {

uint64_t bytes_of(const Tile& tile) { return static_cast<uint64_t>(tile.elements()) * size_of(tile.dtype); }

host_math::ConstMatrix const_matrix(const Tile& tile) { return {tile.data, tile.row_stride, tile.column_stride}; }

void check_product(const Tile& d, int64_t a_rows, int64_t a_columns, DType a_dtype, int64_t b_rows, int64_t b_columns,
                   DType b_dtype) {
  if (a_dtype != b_dtype || d.rows != a_rows || d.columns != b_columns || a_columns != b_rows) {
    throw InvalidArgument(concat("dot of ", a_rows, " x ", a_columns, " ", name_of(a_dtype), " by ", b_rows, " x ",
                                 b_columns, " ", name_of(b_dtype), " into ", d.rows, " x ", d.columns));
  }
  if (d.dtype != host_math::accumulator_of(a_dtype)) {
    throw InvalidArgument(concat("dot of ", name_of(a_dtype), " into ", name_of(d.dtype)), "",
                          concat("accumulate in ", name_of(host_math::accumulator_of(a_dtype))));
  }
}

// An operand of an element-wise call: a tile that broadcasts to d's shape, or a scalar's bits.
struct Source {
  const Tile* tile = nullptr;
  const std::byte* bits = nullptr;

  bool whole(const Tile& d) const { return tile != nullptr && tile->rows == d.rows && tile->columns == d.columns; }
  bool single() const { return tile == nullptr || tile->columns == 1; }
  const std::byte* row(int64_t index) const {
    return tile == nullptr ? bits : tile->at(tile->rows == 1 ? 0 : index, 0);
  }
};

void check_source(Opcode opcode, const Tile& d, const Source& source) {
  if (source.tile == nullptr) return;
  const Tile& tile = *source.tile;
  const bool fits = (tile.rows == d.rows || tile.rows == 1) && (tile.columns == d.columns || tile.columns == 1);
  if (!fits)
    throw InvalidArgument(
        concat(name_of(opcode), " of ", tile.rows, " x ", tile.columns, " into ", d.rows, " x ", d.columns), "",
        "operands broadcast rows or columns of 1");
  if (tile.columns != 1) check_dense_rows(name_of(opcode).data(), tile);
}

void run_span(const ElementLoop& loop, const Tile& d, std::byte* to, const std::byte* const* sources,
              const bool* single, size_t count) {
  const size_t size = size_of(d.dtype);
  uint64_t one = 0;
  switch (loop.kind) {
    case ElementLoop::Kind::iota:
      return;
    case ElementLoop::Kind::move:
      if (single[0] && count != 1) {
        host_math::fill(to, sources[0], size, count);
      } else if (to != sources[0]) {
        std::memcpy(to, sources[0], count * size);
      }
      return;
    case ElementLoop::Kind::unary:
      if (!single[0]) return loop.function.unary(to, sources[0], count);
      loop.function.unary(&one, sources[0], 1);
      return host_math::fill(to, &one, size, count);
    case ElementLoop::Kind::binary:
      if (single[0] && single[1]) {
        loop.function.binary(&one, sources[0], sources[1], 1, host_math::BinaryMode::vector_vector);
        return host_math::fill(to, &one, size, count);
      }
      return loop.function.binary(to, sources[0], sources[1], count,
                                  single[0]   ? host_math::BinaryMode::scalar_vector
                                  : single[1] ? host_math::BinaryMode::vector_scalar
                                              : host_math::BinaryMode::vector_vector);
    case ElementLoop::Kind::ternary: {
      const unsigned scalars = (single[0] ? 1U : 0U) | (single[1] ? 2U : 0U) | (single[2] ? 4U : 0U);
      if (scalars != 7) return loop.function.ternary(to, sources[0], sources[1], sources[2], count, scalars);
      loop.function.ternary(&one, sources[0], sources[1], sources[2], 1, host_math::no_scalar);
      return host_math::fill(to, &one, size, count);
    }
  }
}

void run_elementwise(PeState& pe, Opcode opcode, const ElementLoop& loop, const Tile& d,
                     std::span<const Source> operands) {
  check_dense_rows(name_of(opcode).data(), d);
  const std::byte* sources[3] = {};
  bool single[3] = {};
  bool whole = d.contiguous();
  size_t count = 0;
  uint64_t local = bytes_of(d);
  DType widest = d.dtype;
  Tick tick;
  SubCycles earliest = std::max(pe.pages[d.page].ready, pe.pages[d.page].release);
  for (const Source& source : operands) {
    check_source(opcode, d, source);
    whole = whole && (source.tile == nullptr || (source.whole(d) && source.tile->contiguous()));
    if (source.tile != nullptr) {
      local += bytes_of(*source.tile);
      if (size_of(source.tile->dtype) > size_of(widest)) widest = source.tile->dtype;
      earliest = std::max(earliest, pe.pages[source.tile->page].ready);
    }
    ++count;
  }
  const auto input = [&](size_t place) {
    if (pe.calls == nullptr || place >= operands.size()) return CallInput{};
    const Source& source = operands.begin()[place];
    if (source.tile != nullptr) return CallInput{source.tile};
    const Tile* typed = operands.begin()->tile;
    return CallInput{nullptr, nullptr, number_of(typed != nullptr ? typed->dtype : d.dtype, source.bits)};
  };
  const bool computes = opcode != Opcode::copy && opcode != Opcode::select && opcode != Opcode::bitcast;
  const CallNote note(pe, name_of(opcode), {computes ? Dependence::Kind::element_wise : Dependence::Kind::moved, 0}, d,
                      {input(0), input(1), input(2)});
  if (d.elements() != 0 && pe.host_work != HostWork::none) {
    const int64_t rows = whole ? 1 : d.rows;
    const auto width = static_cast<size_t>(whole ? d.elements() : d.columns);
    for (int64_t row = 0; row < rows; ++row) {
      size_t i = 0;
      for (const Source& source : operands) {
        sources[i] = source.row(row);
        single[i] = source.single() && width != 1 && !(whole && source.tile != nullptr);
        ++i;
      }
      run_span(loop, d, d.at(row, 0), sources, single, width);
    }
  }
  pe.costs->elementwise(tick, opcode, widest, static_cast<uint64_t>(d.elements()), local);
  const SubCycles end = pe.issuing->issue_after(earliest, tick, tick.duration, tick.latency);
  for (const Source& source : operands) {
    if (source.tile != nullptr)
      pe.pages[source.tile->page].release = std::max(pe.pages[source.tile->page].release, end);
  }
  pe.pages[d.page].ready = end + tick.latency;
}

void run_elementwise(PeState& pe, Opcode opcode, const ElementLoop& loop, const Tile& d,
                     std::initializer_list<Source> operands) {
  run_elementwise(pe, opcode, loop, d, std::span<const Source>(operands.begin(), operands.size()));
}

}  // namespace

namespace {

void multiply(const Tile& d, const Tile& a, const Tile& b, bool accumulate) {
  host_math::dot(a.dtype, {d.data, d.row_stride, d.column_stride}, const_matrix(a), const_matrix(b),
                 static_cast<size_t>(d.rows), static_cast<size_t>(d.columns), static_cast<size_t>(a.columns),
                 accumulate);
}

void time_product(PeState& pe, const Tile& d, const Tile& a, const Tile& b, bool accumulate, int precision) {
  Tick tick;
  pe.costs->dot(tick, a.dtype, 1, static_cast<uint64_t>(d.rows), static_cast<uint64_t>(d.columns),
                static_cast<uint64_t>(a.columns), precision, bytes_of(a) + bytes_of(b) + bytes_of(d));
  time_call(pe, tick, tick.duration, accumulate ? 0 : tick.latency, d.page, {a.page, b.page});
}

}  // namespace

void ProcessingElement::dot(const Tile& d, const Tile& a, const Tile& b, bool accumulate, int precision) {
  check_product(d, a.rows, a.columns, a.dtype, b.rows, b.columns, b.dtype);
  const CallNote note(*state_, "dot", {Dependence::Kind::product, 0}, d,
                      {CallInput{&a}, CallInput{&b}, accumulate ? CallInput{&d} : CallInput{}});
  if (state_->host_work != HostWork::none) multiply(d, a, b, accumulate);
  time_product(*state_, d, a, b, accumulate, precision);
}

void DotChain::add(const Tile& a, const Tile& b) {
  const PeState& state = *pe_.state_;
  const auto is_local = [&](const Tile& tile) {
    return tile.data >= state.local && tile.data < state.local + state.chip->local_memory_bytes;
  };
  if (state.calls != nullptr || state.packs == nullptr || a.columns == 0 || is_local(a) || is_local(b)) {
    compute();
    pe_.dot(sum_, a, b, is_computed_);
    is_started_ = is_computed_ = true;
    return;
  }
  check_product(sum_, a.rows, a.columns, a.dtype, b.rows, b.columns, b.dtype);
  const auto follows = [](const Tile& tile, const Tile& before, int64_t elements) {
    return tile.data == before.data + elements * static_cast<int64_t>(size_of(tile.dtype)) &&
           tile.row_stride == before.row_stride && tile.column_stride == before.column_stride;
  };
  if (a_.columns != 0 && follows(a, a_, a_.columns * a_.column_stride) && follows(b, b_, b_.rows * b_.row_stride)) {
    a_.columns += a.columns;
    b_.rows += b.rows;
  } else {
    compute();
    a_ = a;
    b_ = b;
  }
  time_product(*pe_.state_, sum_, a, b, is_started_, 0);
  is_started_ = true;
}

void DotChain::compute() {
  if (a_.columns == 0) return;
  using Side = OperandPacks::Side;
  OperandPacks& packs = *pe_.state_->packs;
  const std::byte* right = shares_right_ ? packs.find(Side::right, b_) : nullptr;
  if (right != nullptr && sum_.column_stride == 1) {
    const bool packs_left = columns_ > sum_.columns &&
                            !host_math::reads_rows_in_place(a_.dtype, const_matrix(a_), static_cast<size_t>(columns_),
                                                            static_cast<size_t>(a_.columns));
    const std::byte* left = packs_left ? packs.find(Side::left, a_) : nullptr;
    host_math::dot_packed(a_.dtype, {sum_.data, sum_.row_stride, 1}, const_matrix(a_), left, right,
                          static_cast<size_t>(sum_.rows), static_cast<size_t>(sum_.columns),
                          static_cast<size_t>(a_.columns), is_computed_);
  } else {
    multiply(sum_, a_, b_, is_computed_);
  }
  is_computed_ = true;
  a_.columns = 0;
}

void DotChain::finish() { compute(); }

void ProcessingElement::dot(const Tile& d, const Tile& a, const PackedTile& b, bool accumulate, int precision,
                            const std::byte* packed_a) {
  check_product(d, a.rows, a.columns, a.dtype, b.rows, b.columns, b.dtype);
  const CallNote note(*state_, "dot", {Dependence::Kind::product, 0}, d,
                      {CallInput{&a}, CallInput{nullptr, b.data}, accumulate ? CallInput{&d} : CallInput{}});
  if (state_->host_work != HostWork::none) {
    host_math::dot_packed(a.dtype, {d.data, d.row_stride, d.column_stride}, const_matrix(a), packed_a, b.data,
                          static_cast<size_t>(d.rows), static_cast<size_t>(d.columns), static_cast<size_t>(a.columns),
                          accumulate);
  }
  Tick tick;
  const uint64_t b_bytes = static_cast<uint64_t>(b.rows * b.columns) * size_of(b.dtype);
  state_->costs->dot(tick, a.dtype, 1, static_cast<uint64_t>(d.rows), static_cast<uint64_t>(d.columns),
                     static_cast<uint64_t>(a.columns), precision, bytes_of(a) + b_bytes + bytes_of(d));
  time_call(*state_, tick, tick.duration, accumulate ? 0 : tick.latency, d.page, {a.page, b.page});
}

void ProcessingElement::vector(Opcode opcode, const Tile& d, const Tile& a) {
  run_elementwise(*state_, opcode, element_loop(opcode, d.dtype, a.dtype, 0), d, {{&a, nullptr}});
}

void ProcessingElement::vector(Opcode opcode, const Tile& d, const Tile& a, const Tile& b) {
  const DType typed = opcode == Opcode::select ? b.dtype : a.dtype;
  run_elementwise(*state_, opcode, element_loop(opcode, d.dtype, typed, 0), d, {{&a, nullptr}, {&b, nullptr}});
}

void ProcessingElement::vector(Opcode opcode, const Tile& d, const Tile& a, double b) {
  const uint64_t bits = bits_of_number(a.dtype, b);
  run_elementwise(*state_, opcode, element_loop(opcode, d.dtype, a.dtype, 0), d,
                  {{&a, nullptr}, {nullptr, reinterpret_cast<const std::byte*>(&bits)}});
}

void ProcessingElement::vector(Opcode opcode, const Tile& d, const Tile& a, const Tile& b, const Tile& c) {
  const DType typed = opcode == Opcode::select ? b.dtype : a.dtype;
  run_elementwise(*state_, opcode, element_loop(opcode, d.dtype, typed, 0), d,
                  {{&a, nullptr}, {&b, nullptr}, {&c, nullptr}});
}

void ProcessingElement::elementwise(Opcode opcode, int64_t attribute, DType dtype, const Tile& d,
                                    std::span<const Operand> operands) {
  Source sources[3];
  for (size_t i = 0; i < operands.size(); ++i)
    sources[i] = {operands[i].tile, reinterpret_cast<const std::byte*>(&operands[i].bits)};
  run_elementwise(*state_, opcode, element_loop(opcode, d.dtype, dtype, attribute), d,
                  std::span<const Source>(sources, operands.size()));
}

void ProcessingElement::fill(const Tile& d, double value) { fill_bits(d, bits_of_number(d.dtype, value)); }

void ProcessingElement::fill_bits(const Tile& d, uint64_t bits) {
  run_elementwise(*state_, Opcode::copy, element_loop(Opcode::copy, d.dtype, d.dtype, 0), d,
                  {{nullptr, reinterpret_cast<const std::byte*>(&bits)}});
}

void ProcessingElement::convert(const Tile& d, const Tile& a, bool is_signed) {
  if (d.rows != a.rows || d.columns != a.columns)
    throw InvalidArgument(concat("convert of ", a.rows, " x ", a.columns, " into ", d.rows, " x ", d.columns));
  Opcode opcode = Opcode::copy;
  if (d.dtype != a.dtype) {
    if (is_float(a.dtype)) {
      opcode = is_float(d.dtype) ? Opcode::convert_f : (is_signed ? Opcode::convert_f_to_s : Opcode::convert_f_to_u);
    } else if (is_float(d.dtype)) {
      opcode = is_signed ? Opcode::convert_s_to_f : Opcode::convert_u_to_f;
    } else {
      opcode = is_signed && a.dtype != DType::I1 ? Opcode::extend_s : Opcode::extend_u;
    }
  }
  if (a.column_stride != 1) {
    // A transposed view: the layout unit brings it into order on its way.
    if (d.dtype != a.dtype)
      throw InvalidArgument("convert of a transposed view changes its dtype", "", "permute it first");
    return permute(d, a.transposed());
  }
  run_elementwise(*state_, opcode, element_loop(opcode, d.dtype, a.dtype, 0), d, {{&a, nullptr}});
}

void ProcessingElement::iota(const Tile& d, int64_t start) {
  if (!d.contiguous()) throw InvalidArgument("iota of a tile with gaps", "", "use a dense tile");
  if (state_->host_work != HostWork::none) host_math::iota(d.dtype, d.data, start, static_cast<size_t>(d.elements()));
  Tick tick;
  state_->costs->elementwise(tick, Opcode::iota, d.dtype, static_cast<uint64_t>(d.elements()), bytes_of(d));
  time_call(*state_, tick, tick.duration, tick.latency, d.page, {});
}

void ProcessingElement::philox(Random kind, const Tile& d, uint64_t seed, uint64_t stream, uint64_t first) {
  const DType wanted = kind == Random::bits ? DType::I32 : DType::F32;
  check_same_dtype("philox", d, wanted);
  if (!d.contiguous()) throw InvalidArgument("philox into a tile with gaps", "", "use a dense tile");
  const host_math::PhiloxSequence sequence{seed, stream, first};
  const auto count = state_->host_work == HostWork::none ? 0 : static_cast<size_t>(d.elements());
  switch (kind) {
    case Random::bits:
      host_math::philox_bits(d.as<uint32_t>(), sequence, count);
      break;
    case Random::uniform:
      host_math::philox_uniform(d.as<float>(), sequence, count);
      break;
    case Random::normal:
      host_math::philox_normal(d.as<float>(), sequence, count);
      break;
  }
  Tick tick;
  state_->costs->elementwise(tick, Opcode::philox, DType::I32, static_cast<uint64_t>(d.elements() + 3) / 4,
                             bytes_of(d));
  time_call(*state_, tick, tick.duration, tick.latency, d.page, {});
}

void ProcessingElement::reduce(ReduceKind kind, const Tile& d, const Tile& a, int axis) {
  check_same_dtype("reduce", d, a.dtype);
  check_dense_rows("reduce", a);
  const bool rows = axis == 1;
  const bool fits = rows ? d.rows == a.rows && d.columns == 1 : d.columns == a.columns && d.rows == 1;
  if (!fits || (!d.contiguous() && !(rows && d.row_stride == 1))) {
    throw InvalidArgument(
        concat("reduce of ", a.rows, " x ", a.columns, " along axis ", axis, " into ", d.rows, " x ", d.columns), "",
        "the result is dense, with 1 along the axis");
  }
  const CallNote note(*state_, "reduce", {Dependence::Kind::along_axis, static_cast<uint32_t>(axis)}, d,
                      {CallInput{&a}});
  const auto op = static_cast<host_math::ReduceOp>(kind);
  const auto loop = rows ? host_math::reduce_rows_loop(op, a.dtype) : host_math::reduce_columns_loop(op, a.dtype);
  if (loop == nullptr)
    throw InvalidArgument(concat("reduce of kind ", name_of(op), " does not exist for ", name_of(a.dtype)));
  if (state_->host_work != HostWork::none) {
    loop(d.data, a.data, static_cast<size_t>(a.rows), static_cast<size_t>(a.columns),
         static_cast<size_t>(a.row_stride));
  }
  Tick tick;
  state_->costs->reduction(tick, a.dtype, static_cast<uint64_t>(a.elements()), bytes_of(a) + bytes_of(d));
  time_call(*state_, tick, tick.duration, tick.latency, d.page, {a.page});
}

double ProcessingElement::read(const Tile& tile, int64_t row, int64_t column) {
  if (state_->host_work == HostWork::none) throw NeedsValues{};
  state_->issuing->wait_until(state_->pages[tile.page].ready);
  const std::byte* data = tile.at(row, column);
  if (!is_float(tile.dtype)) return static_cast<double>(read_integer(tile, row, column));
  if (tile.dtype == DType::F64) {
    double value = 0;
    std::memcpy(&value, data, sizeof(value));
    return value;
  }
  uint64_t source = 0;
  std::memcpy(&source, data, size_of(tile.dtype));
  float value = 0;
  if (tile.dtype == DType::F32) {
    std::memcpy(&value, &source, sizeof(value));
  } else {
    host_math::convert_loop(tile.dtype, DType::F32)(&value, &source, 1);
  }
  return value;
}

int64_t ProcessingElement::read_integer(const Tile& tile, int64_t row, int64_t column) {
  if (state_->host_work == HostWork::none) throw NeedsValues{};
  state_->issuing->wait_until(state_->pages[tile.page].ready);
  uint64_t bits = 0;
  std::memcpy(&bits, tile.at(row, column), size_of(tile.dtype));
  return static_cast<int64_t>(normalised(tile.dtype, bits));
}

}  // namespace mtia::emulator
