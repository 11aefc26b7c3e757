// Elements sent to places within their planes, by the C++ kernel "plane_scatter".
#include "torch_backend/operators/pooling_windows.h"

#include "kernels/cpp/plane_scatter.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"

namespace mtia::torch_backend {

void scatter_planes(const at::Tensor& target, const at::Tensor& source, const at::Tensor& indices, size_t spatial,
                    bool adds) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("plane_scatter");
  if (target.numel() == 0) return;
  const Dense dense(target);
  const at::Tensor values = source.contiguous(), places = indices.contiguous();
  kernels::PlaneScatterArguments arguments;
  arguments.target = address_of(dense.tensor());
  arguments.source = address_to_read(values);
  arguments.indices = address_to_read(places);
  const Three size = sizes_of(target, spatial);
  arguments.size = size[0] * size[1] * size[2];
  arguments.planes = target.numel() / arguments.size;
  arguments.count = values.numel() / arguments.planes;
  arguments.dtype = chip_dtype(target.scalar_type()).dtype;
  arguments.adds = adds;
  launch_cpp_kernel(kernel, target.device().index(), arguments, {dense.tensor(), values, places});
  dense.finish();
}

}  // namespace mtia::torch_backend
