// A small test harness: TEST registers a function, CHECK* throw mtia::test::Failure with the values seen and the line.
#pragma once

#include <cmath>
#include <exception>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace mtia::test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Thrown by SKIP: the host lacks what the test needs.
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using TestFunction = void (*)();

// Adds a test to the list that main runs; returns true so that it can initialise a static.
bool register_test(const char* name, const char* file, TestFunction function);

[[noreturn]] inline void fail(const char* file, int line, const std::string& message) {
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + message);
}

template <typename T>
std::string describe(const T& value) {
  std::ostringstream text;
  if constexpr (std::is_enum_v<T>) {
    text << static_cast<long long>(value);
  } else if constexpr (std::is_same_v<T, signed char> || std::is_same_v<T, unsigned char>) {
    text << static_cast<int>(value);
  } else if constexpr (requires { text << value; }) {
    text.precision(17);
    text << value;
  } else {
    text << "(a value without operator<<)";
  }
  return text.str();
}

template <typename A, typename B>
bool equal(const A& a, const B& b) {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> &&
                !std::is_same_v<B, bool>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

template <typename A, typename B>
void check_equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (!equal(a, b)) {
    fail(file, line, std::string(text) + ": got " + describe(a) + " and " + describe(b));
  }
}

inline void check_near(double a, double b, double tolerance, const char* text, const char* file, int line) {
  if (!(std::fabs(a - b) <= tolerance)) {
    fail(file, line,
         std::string(text) + ": got " + describe(a) + " and " + describe(b) + ", tolerance " + describe(tolerance));
  }
}

// Runs body, expects an exception of type Error, and returns its message so that the caller can check what it says.
template <typename Error, typename Body>
std::string check_throws(Body&& body, const char* text, const char* file, int line) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  fail(file, line, std::string(text) + ": did not throw");
}

inline void check_contains(const std::string& whole, const std::string& part, const char* file, int line) {
  if (whole.find(part) == std::string::npos) {
    fail(file, line, "expected '" + part + "' in '" + whole + "'");
  }
}

}  // namespace mtia::test

#define MTIA_TEST_JOIN_(a, b) a##b
#define MTIA_TEST_JOIN(a, b) MTIA_TEST_JOIN_(a, b)

// TEST(name) { ... } or TEST("name in words") { ... }
#define TEST(name) MTIA_TEST_NAMED(#name, __COUNTER__)
#define MTIA_TEST_NAMED(name, id) \
  MTIA_TEST_DEFINE(name, MTIA_TEST_JOIN(test_function_, id), MTIA_TEST_JOIN(test_registered_, id))
#define MTIA_TEST_DEFINE(name, function, registered)                                                     \
  static void function();                                                                                \
  [[maybe_unused]] static const bool registered = ::mtia::test::register_test(name, __FILE__, function); \
  static void function()

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::mtia::test::fail(__FILE__, __LINE__, "false: " #condition))
#define CHECK_EQ(a, b) ::mtia::test::check_equal((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance) ::mtia::test::check_near((a), (b), (tolerance), #a " ~ " #b, __FILE__, __LINE__)
// The expression's exception must be of type error; the macro's value is its message.
#define CHECK_THROWS(expression, error) \
  ::mtia::test::check_throws<error>([&] { (void)(expression); }, #expression, __FILE__, __LINE__)
#define CHECK_CONTAINS(whole, part) ::mtia::test::check_contains((whole), (part), __FILE__, __LINE__)
#define SKIP(reason) throw ::mtia::test::Skipped(reason)
