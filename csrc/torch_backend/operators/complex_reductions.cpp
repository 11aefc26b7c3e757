// Products by halves: each step joins neighbours that are twice as far apart. Running sums go one by one.
#include "torch_backend/operators/complex_reductions.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones.h>

#include <vector>

namespace mtia::torch_backend {
at::Tensor complex_product_of(const at::Tensor& self, const c10::SmallVector<bool, 8>& mask) {
  std::vector<int64_t> order;
  std::vector<int64_t> sizes;
  for (int64_t dim = 0; dim < self.dim(); ++dim) {
    if (mask[static_cast<size_t>(dim)]) continue;
    order.push_back(dim);
    sizes.push_back(self.size(dim));
  }
  const std::vector<int64_t> kept = sizes;
  int64_t length = 1;
  for (int64_t dim = 0; dim < self.dim(); ++dim) {
    if (!mask[static_cast<size_t>(dim)]) continue;
    order.push_back(dim);
    length *= self.size(dim);
  }
  if (length == 0) return at::ones(kept, self.options());
  sizes.push_back(length);
  at::Tensor factors = self.permute(order).reshape(sizes);
  while (length > 1) {
    const int64_t half = length / 2;
    at::Tensor products = at::mul(factors.narrow(-1, 0, half), factors.narrow(-1, half, half));
    if (length % 2 != 0) products = at::cat({products, factors.narrow(-1, length - 1, 1)}, -1);
    factors = products;
    length -= half;
  }
  return factors.select(-1, 0);
}

at::Tensor complex_running_product(const at::Tensor& self, int64_t dim) {
  at::Tensor result = self.clone();
  if (self.dim() == 0 || self.numel() == 0) return result;
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  const int64_t length = self.size(axis);
  for (int64_t step = 1; step < length; step *= 2) {
    const at::Tensor later = result.narrow(axis, step, length - step);
    later.copy_(at::mul(result.narrow(axis, 0, length - step), later));
  }
  return result;
}

// One by one: which of the angles that differ by whole turns comes out depends on the order.
at::Tensor complex_running_logsumexp(const at::Tensor& self, int64_t dim) {
  at::Tensor result = self.clone();
  if (self.dim() == 0 || self.numel() == 0) return result;
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  for (int64_t i = 1; i < self.size(axis); ++i) {
    result.select(axis, i).copy_(at::logaddexp(result.select(axis, i), result.select(axis, i - 1)));
  }
  return result;
}

}  // namespace mtia::torch_backend
