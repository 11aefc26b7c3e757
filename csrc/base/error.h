// Error categories of mtia_sim: every failure says what happened with its values, where, and the remedy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace mtia {

// One row a category: the exception class, and the name that starts its message. The bindings make Python classes of
// this list.
#define MTIA_ERROR_CATEGORIES(ROW)                                                             \
  ROW(OutOfBounds)       /* an access outside of a buffer, a tile or an allocation */          \
  ROW(OutOfLocalMemory)  /* a kernel needs more local memory than a PE has */                  \
  ROW(OutOfDeviceMemory) /* an allocation exceeds the device's DRAM */                         \
  ROW(InvalidProgram)    /* a tile program or its serialised form is malformed or corrupted */ \
  ROW(InvalidChip)       /* a chip file has a missing, unknown or out-of-range field */        \
  ROW(InvalidArgument)   /* a caller passed a wrong value, dtype, shape or device */           \
  ROW(Undefined)         /* the chip leaves the result undefined: a kernel must not do this */ \
  ROW(Unsupported)       /* the chip cannot do this, and never will */                         \
  ROW(Unimplemented)     /* the chip can, mtia_sim does not yet */                             \
  ROW(UseAfterFree)      /* an access to memory that was given back */                         \
  ROW(UninitialisedRead) /* a read of memory that nothing wrote */                             \
  ROW(DataRace)          /* two accesses without an order between them */                      \
  ROW(Deadlock)          /* every processing element waits */                                  \
  ROW(KernelAssert)      /* an assertion inside of a kernel failed */                          \
  ROW(NonFinite)         /* arithmetic made a NaN or an infinity */                            \
  ROW(CollectiveFailure) /* another rank of a process group disagreed, or did not answer */    \
  ROW(LaunchFailure)     /* a kernel could not start, or failed while running */               \
  ROW(InternalError)     /* an invariant of mtia_sim itself is broken: a defect to report */

enum class ErrorCategory : uint8_t {
#define MTIA_ERROR_ROW(name) name,
  MTIA_ERROR_CATEGORIES(MTIA_ERROR_ROW)
#undef MTIA_ERROR_ROW
};

constexpr std::string_view name_of(ErrorCategory category) {
  constexpr std::string_view names[] = {
#define MTIA_ERROR_ROW(name) #name,
      MTIA_ERROR_CATEGORIES(MTIA_ERROR_ROW)
#undef MTIA_ERROR_ROW
  };
  return names[static_cast<size_t>(category)];
}

// concat("needs ", 160, " KiB") -> one string; std::format is not in g++ 12.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return std::move(stream).str();
}

// what() reads "Category: where: problem; remedy", leaving out an empty where or remedy.
class Error : public std::runtime_error {
 public:
  Error(ErrorCategory category, std::string problem, std::string where, std::string remedy)
      : std::runtime_error(message(category, problem, where, remedy)),
        category_(category),
        problem_(std::move(problem)),
        where_(std::move(where)),
        remedy_(std::move(remedy)) {}

  ErrorCategory category() const { return category_; }
  const std::string& problem() const { return problem_; }
  const std::string& where() const { return where_; }
  const std::string& remedy() const { return remedy_; }

 private:
  static std::string message(ErrorCategory category, const std::string& problem, const std::string& where,
                             const std::string& remedy) {
    std::string text(name_of(category));
    text += ": ";
    if (!where.empty()) text += where + ": ";
    text += problem;
    if (!remedy.empty()) text += "; " + remedy;
    return text;
  }

  ErrorCategory category_;
  std::string problem_;
  std::string where_;
  std::string remedy_;
};

template <ErrorCategory Category>
class CategorisedError : public Error {
 public:
  explicit CategorisedError(std::string problem, std::string where = {}, std::string remedy = {})
      : Error(Category, std::move(problem), std::move(where), std::move(remedy)) {}
};

#define MTIA_ERROR_ROW(name) using name = CategorisedError<ErrorCategory::name>;
MTIA_ERROR_CATEGORIES(MTIA_ERROR_ROW)
#undef MTIA_ERROR_ROW

// Throws the exception class of a category known only at run time (errors that crossed a queue or a file).
[[noreturn]] inline void throw_error(ErrorCategory category, const std::string& problem, const std::string& where = {},
                                     const std::string& remedy = {}) {
  switch (category) {
#define MTIA_ERROR_ROW(name) \
  case ErrorCategory::name:  \
    throw name(problem, where, remedy);
    MTIA_ERROR_CATEGORIES(MTIA_ERROR_ROW)
#undef MTIA_ERROR_ROW
  }
  throw InternalError(problem, where, remedy);
}

}  // namespace mtia
