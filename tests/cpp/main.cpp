// Runs the registered tests: mtia_tests [--filter TEXT] [--list]. A test's full name is <file stem>/<name>.
#include "test.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace mtia::test {
namespace {

struct Test {
  std::string name;
  TestFunction function;
};

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

std::string stem(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  return file.substr(0, file.find('.'));
}

enum class Outcome { passed, failed, skipped };

Outcome run(const Test& test) {
  const auto start = std::chrono::steady_clock::now();
  Outcome outcome = Outcome::passed;
  std::string message;
  try {
    test.function();
  } catch (const Skipped& skipped) {
    outcome = Outcome::skipped;
    message = skipped.what();
  } catch (const std::exception& error) {
    outcome = Outcome::failed;
    message = error.what();
  } catch (...) {
    outcome = Outcome::failed;
    message = "an exception that is not a std::exception";
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const char* word = outcome == Outcome::passed ? "ok  " : outcome == Outcome::failed ? "FAIL" : "skip";
  std::printf("%s %s (%.3f s)%s%s\n", word, test.name.c_str(), seconds.count(), message.empty() ? "" : ": ",
              message.c_str());
  std::fflush(stdout);
  return outcome;
}

}  // namespace

bool register_test(const char* name, const char* file, TestFunction function) {
  std::string text(name);
  if (text.size() >= 2 && text.front() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  tests().push_back({stem(file) + "/" + text, function});
  return true;
}

}  // namespace mtia::test

int main(int argc, char** argv) {
  using namespace mtia::test;
  std::string filter;
  bool list = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
      filter = argv[++i];
    } else if (std::strcmp(argv[i], "--list") == 0) {
      list = true;
    } else {
      std::fprintf(stderr, "unknown argument %s; usage: mtia_tests [--filter TEXT] [--list]\n", argv[i]);
      return 2;
    }
  }
  int counts[3] = {0, 0, 0};
  for (const Test& test : tests()) {
    if (test.name.find(filter) == std::string::npos) {
      continue;
    }
    if (list) {
      std::printf("%s\n", test.name.c_str());
      continue;
    }
    ++counts[static_cast<int>(run(test))];
  }
  if (list) {
    return 0;
  }
  std::printf("%d passed, %d failed, %d skipped\n", counts[0], counts[1], counts[2]);
  if (counts[0] + counts[1] + counts[2] == 0) {
    std::fprintf(stderr, "no test matches '%s'\n", filter.c_str());
    return 2;
  }
  return counts[1] == 0 ? 0 : 1;
}
