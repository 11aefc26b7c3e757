// Tables of transforms, made from their lengths alone, and the cache of those that were sent to a device.
#include "torch_backend/operators/fft_tables.h"

#include <array>
#include <complex>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/cpp/fft_plan.h"
#include "torch_backend/launching/chunk_table.h"
#include "torch_backend/operators/sent_tables.h"

namespace mtia::torch_backend {
namespace {

using Complex = std::complex<double>;

enum class Kind : uint8_t { plan, turns, chirp, conjugate_chirp, chirp_filter };

using Key = std::array<int64_t, 5>;

template <typename Real>
std::shared_ptr<const std::vector<uint64_t>> words_of(const std::vector<double>& numbers) {
  const std::vector<Real> rounded(numbers.begin(), numbers.end());
  const size_t bytes = rounded.size() * sizeof(Real);
  std::vector<uint64_t> words((bytes + 15) / 16 * 2, 0);
  if (bytes > 0) std::memcpy(words.data(), rounded.data(), bytes);
  return std::make_shared<const std::vector<uint64_t>>(std::move(words));
}

at::Tensor sent(const FftTables& to, Kind kind, int64_t first, int64_t second,
                const std::function<std::vector<double>()>& make) {
  constexpr size_t most = 128;  // a program has a few lengths
  constexpr int64_t most_bytes = int64_t{512} << 20;
  static auto* tables = new SentTables<Key, at::Tensor>(most, most_bytes);
  const Key key{static_cast<int64_t>(kind), first, second, static_cast<int64_t>(to.dtype), to.device.index()};
  return tables->get(key, [&]() -> std::pair<at::Tensor, int64_t> {
    const std::vector<double> numbers = make();
    if (numbers.empty()) return {};
    const at::Tensor words =
        send_words(to.dtype == c10::kDouble ? words_of<double>(numbers) : words_of<float>(numbers), to.device.index());
    const bool is_complex = kind != Kind::plan;
    const at::Tensor table = words.view(is_complex ? c10::toComplexType(to.dtype) : to.dtype)
                                 .narrow(0, 0, static_cast<int64_t>(numbers.size()) / (is_complex ? 2 : 1));
    return {table, static_cast<int64_t>(words.nbytes())};
  });
}

Complex root(int64_t numerator, int64_t denominator) {
  const auto [real, imaginary] = kernels::root_of_unity(numerator, denominator);
  return {real, imaginary};
}

// j^2 modulo 2 length, without overflow for any length that fits memory.
Complex chirp_at(int64_t j, int64_t length) { return root(j * j % (2 * length), 2 * length); }

std::vector<double> parts(const std::vector<Complex>& numbers) {
  std::vector<double> all;
  all.reserve(2 * numbers.size());
  for (const Complex& number : numbers) {
    all.push_back(number.real());
    all.push_back(number.imag());
  }
  return all;
}

// The transform of numbers[first + stride * j], j < length, to result[0 .. length - 1], by the least prime factor.
// `roots` are those of `order`.
void transform(const std::vector<Complex>& numbers, size_t first, size_t stride, Complex* result, size_t length,
               const std::vector<Complex>& roots) {
  if (length == 1) {
    *result = numbers[first];
    return;
  }
  size_t prime = 2;
  while (length % prime != 0) ++prime;
  const size_t part = length / prime, step = roots.size() / length;
  for (size_t t = 0; t < prime; ++t)
    transform(numbers, first + t * stride, stride * prime, result + t * part, part, roots);
  std::vector<Complex> column(prime);
  for (size_t k = 0; k < part; ++k) {
    for (size_t t = 0; t < prime; ++t) column[t] = result[t * part + k] * roots[t * k * step];
    for (size_t r = 0; r < prime; ++r) {
      Complex sum = column[0];
      for (size_t t = 1; t < prime; ++t) sum += column[t] * roots[t * r % prime * part * step];
      result[r * part + k] = sum;
    }
  }
}

}  // namespace

at::Tensor FftTables::plan(int64_t length) const {
  return sent(*this, Kind::plan, length, 0, [&] { return kernels::fft_table(kernels::fft_plan(length)); });
}

at::Tensor FftTables::turns(int64_t first, int64_t second) const {
  const auto make = [&] {
    std::vector<Complex> roots;
    roots.reserve(static_cast<size_t>(first * second));
    for (int64_t j = 0; j < second; ++j)
      for (int64_t k = 0; k < first; ++k) roots.push_back(root(j * k, first * second));
    return parts(roots);
  };
  return sent(*this, Kind::turns, first, second, make).view({second, first});
}

at::Tensor FftTables::chirp(int64_t length, bool conjugate) const {
  return sent(*this, conjugate ? Kind::conjugate_chirp : Kind::chirp, length, 0, [&] {
    std::vector<Complex> numbers;
    numbers.reserve(static_cast<size_t>(length));
    for (int64_t j = 0; j < length; ++j) {
      const Complex number = chirp_at(j, length);
      numbers.push_back(conjugate ? std::conj(number) : number);
    }
    return parts(numbers);
  });
}

at::Tensor FftTables::chirp_filter(int64_t length, int64_t padded) const {
  return sent(*this, Kind::chirp_filter, length, padded, [&] {
    const auto size = static_cast<size_t>(padded);
    std::vector<Complex> numbers(size), roots(size), result(size);
    for (int64_t j = 0; j < length; ++j) {
      const Complex number = std::conj(chirp_at(j, length));
      numbers[static_cast<size_t>(j)] = number;
      numbers[static_cast<size_t>((padded - j) % padded)] = number;
    }
    for (int64_t j = 0; j < padded; ++j) roots[static_cast<size_t>(j)] = root(j, padded);
    transform(numbers, 0, 1, result.data(), size, roots);
    return parts(result);
  });
}

}  // namespace mtia::torch_backend
