// Shared objects of kernels.
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/error.h"
#include "emulator/tile_kernels/host_fault.h"
#include "emulator/tile_kernels/interface.h"

namespace mtia::emulator {

std::vector<const TileKernel*> load_tile_kernels(const std::string& path) {
  void* object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    throw LaunchFailure(concat("the shared object of a kernel cannot be loaded: ", dlerror()), path,
                        "compile it with torch.mtia_sim.load_kernel");
  }
  const auto open = reinterpret_cast<mtia_open>(dlsym(object, "mtia_open_module"));
  if (open == nullptr) {
    throw InvalidProgram("the shared object has no kernels of the tile API", path,
                         "include mtia/kernel.h and compile it with torch.mtia_sim.load_kernel");
  }
  const mtia_module& module = *open(&tile_kernel_api());
  if (module.version != MTIA_ABI_VERSION || module.api_size > sizeof(mtia_api)) {
    throw InvalidProgram(
        concat("the kernel was compiled for version ", module.version, " of the tile API (", module.api_size,
               " bytes), this is version ", MTIA_ABI_VERSION, " (", sizeof(mtia_api), " bytes)"),
        path, "compile it again");
  }
  watch_faults_of(object);
  static std::mutex mutex;
  static auto* const all = new std::map<const mtia_kernel*, TileKernel>;  // the same one when loaded again
  const std::lock_guard lock(mutex);
  std::vector<const TileKernel*> kernels;
  for (const mtia_kernel* kernel = module.first; kernel != nullptr; kernel = kernel->next) {
    const TileKernel entry{{kernel->name, nullptr, kernel->argument_bytes}, kernel};
    kernels.push_back(&all->try_emplace(kernel, entry).first->second);
  }
  std::reverse(kernels.begin(), kernels.end());
  return kernels;
}

}  // namespace mtia::emulator
