// C++ kernels for the chip: everything that a kernel's source includes. docs/kernels_cpp.md is the tutorial.
//
// A kernel is one to four roles, functions void role(ProcessingElement&, const Arguments&, Shared&), that run at the
// same time on every PE of the launch grid; the last two parameters may be left out. Arguments is a plain struct whose
// fields MTIA_ARGUMENTS lists; Shared holds what the roles of a PE share, circular buffers above all, and is made on
// each PE from (ProcessingElement&, const Arguments&), from (ProcessingElement&), or by default.
#pragma once

#include <new>

#include "arguments.h"
#include "processing_element.h"

namespace mtia::detail {

struct Nothing {};

template <typename Role>
struct RoleType {
  static constexpr bool known = false;
  using arguments = Nothing;
  using shared = Nothing;
};
template <>
struct RoleType<void (*)(ProcessingElement&)> {
  static constexpr bool known = true;
  using arguments = Nothing;
  using shared = Nothing;
  static void call(void (*role)(ProcessingElement&), ProcessingElement& pe, const void*, void*) { role(pe); }
};
template <typename Arguments>
struct RoleType<void (*)(ProcessingElement&, const Arguments&)> {
  static constexpr bool known = true;
  using arguments = Arguments;
  using shared = Nothing;
  static void call(void (*role)(ProcessingElement&, const Arguments&), ProcessingElement& pe, const void* arguments,
                   void*) {
    role(pe, *static_cast<const Arguments*>(arguments));
  }
};
template <typename Arguments, typename Shared>
struct RoleType<void (*)(ProcessingElement&, const Arguments&, Shared&)> {
  static constexpr bool known = true;
  using arguments = Arguments;
  using shared = Shared;
  static void call(void (*role)(ProcessingElement&, const Arguments&, Shared&), ProcessingElement& pe,
                   const void* arguments, void* shared) {
    role(pe, *static_cast<const Arguments*>(arguments), *static_cast<Shared*>(shared));
  }
};

// The one type of several that is not Nothing, if there is one.
template <typename... Types>
struct FirstOf {
  using type = Nothing;
};
template <typename Type, typename... Types>
struct FirstOf<Type, Types...> {
  using type = Type;
};
template <typename... Types>
struct FirstOf<Nothing, Types...> {
  using type = typename FirstOf<Types...>::type;
};
template <typename Type, typename Wanted>
constexpr bool is_or_nothing = std::is_same_v<Type, Nothing> || std::is_same_v<Type, Wanted>;

template <typename Arguments>
constexpr auto arguments_of() {
  if constexpr (std::is_same_v<Arguments, Nothing>) {
    return ArgumentTable<1>{};
  } else {
    static_assert(
        requires { mtia_arguments_of(static_cast<const Arguments*>(nullptr)); },
        "mtia_rule_arguments_must_be_named: list the struct's fields with MTIA_ARGUMENTS");
    return mtia_arguments_of(static_cast<const Arguments*>(nullptr));
  }
}

template <auto Role>
void run_role(mtia_role* role, const void* arguments, void* shared) {
  ProcessingElement pe(role);
  RoleType<decltype(Role)>::call(Role, pe, arguments, shared);
}

// Shared state is made before the roles start, so nothing in its constructor may wait.
template <typename Shared, typename Arguments>
void construct_shared(void* memory, mtia_role* role, const void* arguments) {
  constructing = role;
  [[maybe_unused]] ProcessingElement pe(role);
  if constexpr (std::is_constructible_v<Shared, ProcessingElement&, const Arguments&>) {
    new (memory) Shared(pe, *static_cast<const Arguments*>(arguments));
  } else if constexpr (std::is_constructible_v<Shared, ProcessingElement&> && !std::is_aggregate_v<Shared>) {
    new (memory) Shared(pe);
  } else {
    new (memory) Shared{};
  }
}
template <typename Shared>
void destroy_shared(void* memory) {
  static_cast<Shared*>(memory)->~Shared();
}

__attribute__((visibility("hidden"))) inline const mtia_kernel* first_kernel = nullptr;

// One kernel of this shared object, on the list that mtia_open_module gives away.
template <auto... Roles>
class Registration {
  static_assert(sizeof...(Roles) >= 1 && sizeof...(Roles) <= 4, "mtia_rule_a_kernel_has_one_to_four_roles");
  static_assert((RoleType<decltype(Roles)>::known && ...),
                "mtia_rule_a_role_is_void_of_ProcessingElement_const_Arguments_and_Shared");
  using Arguments = typename FirstOf<typename RoleType<decltype(Roles)>::arguments...>::type;
  using Shared = typename FirstOf<typename RoleType<decltype(Roles)>::shared...>::type;
  static_assert((is_or_nothing<typename RoleType<decltype(Roles)>::arguments, Arguments> && ...),
                "mtia_rule_roles_must_take_the_same_arguments");
  static_assert((is_or_nothing<typename RoleType<decltype(Roles)>::shared, Shared> && ...),
                "mtia_rule_roles_must_share_the_same_struct");

  static constexpr auto arguments = arguments_of<Arguments>();

 public:
  // `names`: of the roles, as they stand in MTIA_KERNEL.
  Registration(const char* name, const char* names, mtia_line line)
      : roles_{{nullptr, 0, &run_role<Roles>}...},
        kernel_{
            .next = first_kernel,
            .name = name,
            .line = line,
            .arguments = arguments.rows,
            .argument_count = std::is_same_v<Arguments, Nothing> ? 0 : sizeof(arguments.rows) / sizeof(mtia_argument),
            .argument_bytes = std::is_same_v<Arguments, Nothing> ? 0 : sizeof(Arguments),
            .roles = roles_,
            .role_count = sizeof...(Roles),
            .shared_bytes = sizeof(Shared),
            .shared_alignment = alignof(Shared),
            .construct = &construct_shared<Shared, Arguments>,
            .destroy = &destroy_shared<Shared>} {
    for (mtia_role_entry& role : roles_) {
      while (*names == ' ' || *names == ',' || *names == '&') ++names;
      role.name = names;
      while (*names != 0 && *names != ',' && *names != ' ') ++names;
      role.name_length = static_cast<uint32_t>(names - role.name);
    }
    first_kernel = &kernel_;
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  mtia_role_entry roles_[sizeof...(Roles)];
  mtia_kernel kernel_;
};

}  // namespace mtia::detail

// MTIA_KERNEL(name, role, ...): the kernel that torch.mtia_sim.load_kernel finds under that name.
#define MTIA_KERNEL(name, ...) \
  static const ::mtia::detail::Registration<__VA_ARGS__> mtia_kernel_##name(#name, #__VA_ARGS__, {__FILE__, __LINE__})

#ifdef MTIA_KERNEL_MODULE
extern "C" __attribute__((visibility("default"), weak)) const mtia_module* mtia_open_module(const mtia_api* api) {
  static mtia_module module;
  ::mtia::detail::api = api;
  module = {MTIA_ABI_VERSION, sizeof(mtia_api), ::mtia::detail::first_kernel};
  return &module;
}

// The compiler calls it at every basic block of a kernel (-fsanitize-coverage=trace-pc), which is how a kernel that
// loops for ever without calling the interface is noticed.
#if defined(__clang__)
#define MTIA_DETAIL_UNCOUNTED no_sanitize("coverage")
#else
#define MTIA_DETAIL_UNCOUNTED no_sanitize_coverage
#endif
extern "C" __attribute__((visibility("hidden"), weak, MTIA_DETAIL_UNCOUNTED)) void __sanitizer_cov_trace_pc() {
  static thread_local uint32_t blocks = 0;
  if (++blocks % 1024 == 0) ::mtia::detail::api->poll(1024);
}

// What would end the process ends the role (linked with --wrap of each).
extern "C" {
[[noreturn]] __attribute__((visibility("hidden"), weak)) void __wrap_abort() {
  ::mtia::detail::api->give_up("calls abort()", __builtin_return_address(0));
  __builtin_unreachable();
}
[[noreturn]] __attribute__((visibility("hidden"), weak)) void __wrap__ZSt9terminatev() {
  ::mtia::detail::api->give_up("calls std::terminate()", __builtin_return_address(0));
  __builtin_unreachable();
}
[[noreturn]] __attribute__((visibility("hidden"), weak)) void __wrap___assert_fail(const char* condition, const char*,
                                                                                   unsigned, const char*) {
  char what[256];
  __builtin_snprintf(what, sizeof(what), "fails its assertion `%s`", condition);
  ::mtia::detail::api->give_up(what, __builtin_return_address(0));
  __builtin_unreachable();
}
}
#endif
