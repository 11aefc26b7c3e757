// The C++ kernels of QR factorisation. "geqrf" and "householder_product" take one matrix a PE, "apply_householder" some
// columns (rows where Q stands on the right) of the matrix that it is applied to.
#include "kernels/cpp/linear_algebra/householder.h"

#include "kernels/cpp/linear_algebra/parts.h"
#include "kernels/cpp/linear_algebra/reflector.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;

// A reflection of `columns` columns of n numbers.
void charge_reflection(ColumnWork& work, int64_t n, int64_t columns) {
  work.inner(n, columns);
  work.vector(n, columns);
}

template <typename T>
void factor_matrix(ProcessingElement& pe, const GeqrfArguments& arguments, int64_t matrix) {
  ColumnWork work(pe, arguments.number);
  const int64_t rows = arguments.a.rows, columns = arguments.a.columns;
  ResultVector<T> tau(work, arguments.tau, matrix);
  Columns<T> a(work, arguments.a, matrix, pe.local_bytes_free(), columns);
  for (int64_t k = 0; k < arguments.tau.length; ++k) {
    const int64_t n = rows - k;
    T* v = a.write(k) + k;
    if (work.computes()) tau[k] = make_reflector(n, v);
    work.inner(n);
    work.scalar(24);
    work.vector(n, 1, Opcode::mul_f);
    for (int64_t j = k + 1; j < columns; ++j) {
      T* column = a.write(j) + k;
      const T* reflector = a.read(k) + k;
      if (work.computes()) reflect(n, conjugate(tau[k]), reflector, column);
    }
    charge_reflection(work, n, columns - k - 1);
  }
  a.store();
  tau.store();
}

void geqrf(ProcessingElement& pe, const GeqrfArguments& arguments) {
  for_each_matrix_of_numbers(
      pe, arguments, [&](auto number, int64_t matrix) { factor_matrix<decltype(number)>(pe, arguments, matrix); });
}

MTIA_CPP_KERNEL("geqrf", geqrf, GeqrfArguments);

template <typename T>
void multiply_reflectors(ProcessingElement& pe, const HouseholderProductArguments& arguments, int64_t matrix) {
  ColumnWork work(pe, arguments.number);
  const int64_t rows = arguments.a.rows, columns = arguments.a.columns, reflectors = arguments.tau.length;
  ResultVector<T> tau(work, arguments.tau, matrix);
  tau.load();
  Columns<T> a(work, arguments.a, matrix, pe.local_bytes_free(), reflectors);
  for (int64_t j = reflectors; j < columns; ++j) {
    T* column = a.write(j);
    if (work.computes()) std::fill(column, column + rows, T(0));
    if (work.computes()) column[j] = T(1);
  }
  work.vector(rows, columns - reflectors, Opcode::copy);
  for (int64_t k = reflectors - 1; k >= 0; --k) {
    const int64_t n = rows - k;
    for (int64_t j = k + 1; j < columns; ++j) {
      T* column = a.write(j) + k;
      const T* reflector = a.read(k) + k;
      if (work.computes()) reflect(n, tau[k], reflector, column);
    }
    charge_reflection(work, n, columns - k - 1);
    T* v = a.write(k);
    if (work.computes()) {
      std::fill(v, v + k, T(0));
      multiply(n - 1, T(-tau[k]), v + k + 1);
      v[k] = T(1) - tau[k];
    }
    work.vector(rows, 1, Opcode::mul_f);
  }
  a.store();
}

void householder_product(ProcessingElement& pe, const HouseholderProductArguments& arguments) {
  for_each_matrix_of_numbers(pe, arguments, [&](auto number, int64_t matrix) {
    multiply_reflectors<decltype(number)>(pe, arguments, matrix);
  });
}

MTIA_CPP_KERNEL("householder_product", householder_product, HouseholderProductArguments);

template <typename T>
class Application {
 public:
  Application(ProcessingElement& pe, const ApplyHouseholderArguments& arguments) : pe_(pe), arguments_(arguments) {}

  void apply_all() {
    const int64_t lines = arguments_.left ? arguments_.c.columns : arguments_.c.rows;
    const int64_t length = arguments_.left ? arguments_.c.rows : arguments_.c.columns;
    // Half of local memory is for the part of c.
    for_each_part(pe_, arguments_.batch, lines, columns_within<T>(pe_.local_bytes_free() / 2, length),
                  [&](int64_t matrix, int64_t first, int64_t count) { apply_part(matrix, first, count); });
  }

 private:
  void apply_part(int64_t matrix, int64_t first, int64_t count) {
    ColumnWork work(pe_, arguments_.number);
    ResultVector<T> tau(work, arguments_.tau, matrix);
    tau.load();
    const bool left = arguments_.left;
    const int64_t length = left ? arguments_.c.rows : arguments_.c.columns;
    Block<T> c(work, arguments_.c, matrix, left ? 0 : first, left ? length : count, left ? first : 0,
               left ? count : length);
    std::vector<T> sums(static_cast<size_t>(left ? 0 : count));
    Columns<T> reflectors(work, arguments_.reflectors, matrix, pe_.local_bytes_free(), arguments_.reflectors.columns);
    const int64_t total = arguments_.tau.length;
    for (int64_t step = 0; step < total; ++step) {
      const int64_t k = left == arguments_.adjoint ? step : total - 1 - step;
      const int64_t n = length - k;
      const T* v = reflectors.read(k) + k;
      if (work.computes()) {
        const T factor = maybe_conjugate(tau[k], arguments_.adjoint);
        for (int64_t column = 0; left && column < count; ++column) reflect(n, factor, v, c[column] + k);
        if (!left) reflect_rows([&](int64_t column) { return c[k + column]; }, count, n, factor, v, sums.data());
      }
      if (left) charge_reflection(work, n, count);
      if (!left) work.vector(count, 2 * n);
    }
    c.store();
  }

  ProcessingElement& pe_;
  const ApplyHouseholderArguments& arguments_;
};

void apply_householder(ProcessingElement& pe, const ApplyHouseholderArguments& arguments) {
  with_number(arguments.number, [&](auto number) { Application<decltype(number)>(pe, arguments).apply_all(); });
}

MTIA_CPP_KERNEL("apply_householder", apply_householder, ApplyHouseholderArguments);

}  // namespace
}  // namespace mtia::kernels
