# The extension mtia_sim/_C: torch_backend and bindings over all layers, linked with the torch of Python_EXECUTABLE.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)

if(NOT MTIA_TORCH_OF STREQUAL Python_EXECUTABLE)
  # Without autoload off, importing torch would load this very extension, half built.
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env TORCH_DEVICE_BACKEND_AUTOLOAD=0 ${Python_EXECUTABLE} -c
      "import os, torch; print(os.path.dirname(torch.__file__), int(torch.compiled_with_cxx11_abi()), torch.__version__, sep=';', end='')"
    OUTPUT_VARIABLE torch_facts COMMAND_ERROR_IS_FATAL ANY)
  list(GET torch_facts 0 torch_directory)
  list(GET torch_facts 1 torch_cxx11_abi)
  list(GET torch_facts 2 torch_version)
  if(NOT torch_version MATCHES "^2\\.13\\.")
    message(FATAL_ERROR "mtia_sim is built against torch 2.13, ${Python_EXECUTABLE} has ${torch_version}; pip install torch==2.13.0")
  endif()
  set(MTIA_TORCH_DIRECTORY ${torch_directory} CACHE INTERNAL "")
  set(MTIA_TORCH_CXX11_ABI ${torch_cxx11_abi} CACHE INTERNAL "")
  set(MTIA_TORCH_OF ${Python_EXECUTABLE} CACHE INTERNAL "")
endif()

add_library(mtia_torch_headers INTERFACE)
target_include_directories(mtia_torch_headers SYSTEM INTERFACE
  ${MTIA_TORCH_DIRECTORY}/include
  ${MTIA_TORCH_DIRECTORY}/include/torch/csrc/api/include
  ${MTIA_TORCH_DIRECTORY}/include/kineto)
target_compile_definitions(mtia_torch_headers INTERFACE
  # Per-operator headers: without it a narrow header pulls in all of ATen's functions.
  _GLIBCXX_USE_CXX11_ABI=${MTIA_TORCH_CXX11_ABI} USE_KINETO AT_PER_OPERATOR_HEADERS TORCH_EXTENSION_NAME=_C)

file(GLOB_RECURSE extension_sources CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/csrc/torch_backend/*.cpp ${CMAKE_SOURCE_DIR}/csrc/bindings/*.cpp)
# Eight files at a time are one unit, since what is made of torch's templates takes most of each: half the build's time. So
# neighbours' private names differ. One file defines a class of a header with types of its own, which a unit may not.
set(together ${extension_sources})
list(FILTER together EXCLUDE REGEX "/type_rules\\.cpp$")
set(alone ${extension_sources})
list(REMOVE_ITEM alone ${together})
set_source_files_properties(${alone} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# With sanitizers these files are as the release has them, from its objects: the two layers that include torch's headers take
# most of a build's time. MTIA_SANITIZE_TORCH=ON compiles and instruments them too; TSan needs it, or it misses the host's half
# of every reference count and reports the other.
option(MTIA_SANITIZE_TORCH "Instrument the layers that use torch as well" OFF)
if(MTIA_SANITIZE AND NOT MTIA_SANITIZE_TORCH)
  set(release ${CMAKE_SOURCE_DIR}/build/cmake/CMakeFiles/_C.dir)
  list(TRANSFORM alone REPLACE "^${CMAKE_SOURCE_DIR}/(.*)$" "${release}/\\1.o" OUTPUT_VARIABLE extension_sources)
  list(LENGTH together count)
  math(EXPR last "(${count} - 1) / 8")
  foreach(unit RANGE ${last})
    list(APPEND extension_sources ${release}/Unity/unity_${unit}_cxx.cxx.o)
  endforeach()
  set_source_files_properties(${extension_sources} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
endif()
python_add_library(_C MODULE WITH_SOABI ${extension_sources})
mtia_link_layers(_C)
target_link_libraries(_C PRIVATE mtia_torch_headers
  ${MTIA_TORCH_DIRECTORY}/lib/libtorch_python.so
  ${MTIA_TORCH_DIRECTORY}/lib/libtorch.so
  ${MTIA_TORCH_DIRECTORY}/lib/libtorch_cpu.so
  ${MTIA_TORCH_DIRECTORY}/lib/libc10.so)
set_target_properties(_C PROPERTIES
  UNITY_BUILD ON
  UNITY_BUILD_BATCH_SIZE 8
  LINKER_LANGUAGE CXX
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/extension
  BUILD_RPATH_USE_ORIGIN ON
  BUILD_RPATH "$ORIGIN/../torch/lib;${MTIA_TORCH_DIRECTORY}/lib")
if(NOT MTIA_SANITIZE OR MTIA_SANITIZE_TORCH)
  # The headers that nearly every file of torch_backend reads, parsed once.
  target_precompile_headers(_C PRIVATE <ATen/core/Tensor.h> <torch/library.h>)
  target_compile_options(_C PRIVATE -fpch-preprocess)
endif()
if(MTIA_SANITIZE MATCHES undefined)
  # It would need the type information of classes that torch hides.
  target_compile_options(_C PRIVATE -fno-sanitize=vptr)
endif()
