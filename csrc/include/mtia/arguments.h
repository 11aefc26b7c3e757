// The argument struct of a kernel: its fields by name, for the launcher that fills it.
#pragma once

#include <cstddef>
#include <type_traits>

#include "tensor.h"

namespace mtia::detail {

template <typename Field>
struct ArgumentType {
  static_assert(Element<Field>::known && (!Element<Field>::is_float || sizeof(Field) >= 4),
                "mtia_rule_an_argument_is_a_tensor_a_number_or_a_work_queue");
  static constexpr mtia_argument describe(const char* name, size_t offset) {
    return {name, static_cast<uint32_t>(offset), sizeof(Field), mtia_argument_number, Element<Field>::dtype, 0,
            0,    Element<Field>::is_signed};
  }
};

template <typename T, int Rank>
struct ArgumentType<Tensor<T, Rank>> {
  static constexpr mtia_argument describe(const char* name, size_t offset) {
    return {name,
            static_cast<uint32_t>(offset),
            sizeof(Tensor<T, Rank>),
            mtia_argument_tensor,
            Tensor<T, Rank>::dtype,
            static_cast<uint8_t>(Rank),
            Tensor<T, Rank>::is_written,
            Element<std::remove_const_t<T>>::is_signed};
  }
};

template <>
struct ArgumentType<WorkQueue> {
  static constexpr mtia_argument describe(const char* name, size_t offset) {
    return {name, static_cast<uint32_t>(offset), sizeof(WorkQueue), mtia_argument_work_queue, 4, 0, 0, 1};
  }
};

template <size_t Count>
struct ArgumentTable {
  mtia_argument rows[Count];
};

// Stands for any field when fields are counted.
struct AnyField {
  template <typename Field>
  operator Field() const;
};

template <typename Aggregate, typename... Fields>
constexpr size_t count_fields() {
  if constexpr (requires { Aggregate{Fields{}..., AnyField{}}; }) {
    return count_fields<Aggregate, Fields..., AnyField>();
  } else {
    return sizeof...(Fields);
  }
}

template <typename Arguments, size_t Listed>
constexpr void check_arguments() {
  static_assert(std::is_trivially_copyable_v<Arguments> && std::is_aggregate_v<Arguments>,
                "mtia_rule_arguments_are_a_plain_struct: they are copied to the device as bytes");
  static_assert(count_fields<Arguments>() == Listed,
                "mtia_rule_every_argument_must_be_listed: MTIA_ARGUMENTS names each field of the struct");
}

}  // namespace mtia::detail

// Applies MTIA_DETAIL_ARGUMENT to each of up to 81 names.
#define MTIA_DETAIL_EXPAND(...) MTIA_DETAIL_EXPAND3(MTIA_DETAIL_EXPAND3(MTIA_DETAIL_EXPAND3(__VA_ARGS__)))
#define MTIA_DETAIL_EXPAND3(...) MTIA_DETAIL_EXPAND2(MTIA_DETAIL_EXPAND2(MTIA_DETAIL_EXPAND2(__VA_ARGS__)))
#define MTIA_DETAIL_EXPAND2(...) MTIA_DETAIL_EXPAND1(MTIA_DETAIL_EXPAND1(MTIA_DETAIL_EXPAND1(__VA_ARGS__)))
#define MTIA_DETAIL_EXPAND1(...) MTIA_DETAIL_EXPAND0(MTIA_DETAIL_EXPAND0(MTIA_DETAIL_EXPAND0(__VA_ARGS__)))
#define MTIA_DETAIL_EXPAND0(...) __VA_ARGS__
#define MTIA_DETAIL_AGAIN() MTIA_DETAIL_EACH
#define MTIA_DETAIL_NOTHING()
#define MTIA_DETAIL_EACH(Type, field, ...)                                                      \
  ::mtia::detail::ArgumentType<decltype(Type::field)>::describe(#field, offsetof(Type, field)), \
      __VA_OPT__(MTIA_DETAIL_AGAIN MTIA_DETAIL_NOTHING()()(Type, __VA_ARGS__))
#define MTIA_DETAIL_COUNT(...) ::mtia::detail::count_names(#__VA_ARGS__)

namespace mtia::detail {
constexpr size_t count_names(const char* names) {
  size_t count = 1;
  for (; *names != 0; ++names) count += *names == ',' ? 1 : 0;
  return count;
}
}  // namespace mtia::detail

// MTIA_ARGUMENTS(Struct, first, second, ...): the fields of a kernel's argument struct, all of them, in order.
#define MTIA_ARGUMENTS(Type, ...)                                            \
  [[maybe_unused]] constexpr auto mtia_arguments_of(const Type*) {           \
    ::mtia::detail::check_arguments<Type, MTIA_DETAIL_COUNT(__VA_ARGS__)>(); \
    return ::mtia::detail::ArgumentTable<MTIA_DETAIL_COUNT(__VA_ARGS__)>{    \
        {MTIA_DETAIL_EXPAND(MTIA_DETAIL_EACH(Type, __VA_ARGS__))}};          \
  }                                                                          \
  static_assert(true, "a semicolon follows")
