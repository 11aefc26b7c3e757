# One object library a folder of csrc: objects, not archives, so that registration by static initialisers is never dropped.

# mtia_add_layer(name): every .cpp under csrc/<name>; an empty folder is allowed.
function(mtia_add_layer name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/${name}/*.cpp)
  if(sources)
    add_library(mtia_${name} OBJECT ${sources})
    target_link_libraries(mtia_${name} PRIVATE mtia_flags Threads::Threads)
    set_property(GLOBAL APPEND PROPERTY MTIA_LAYERS mtia_${name})
  endif()
endfunction()

# mtia_add_kernels(): kernels/cpp, against the tile API of the emulator.
function(mtia_add_kernels)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cpp/*.cpp)
  # The ladder's kernels are compiled when torch.mtia_sim.load_kernel asks for them.
  list(FILTER sources EXCLUDE REGEX "/kernels/cpp/ladder/")
  if(sources)
    add_library(mtia_kernels OBJECT ${sources})
    target_link_libraries(mtia_kernels PRIVATE mtia_flags Threads::Threads)
    set_property(GLOBAL APPEND PROPERTY MTIA_LAYERS mtia_kernels)
  endif()
endfunction()

# Instruction set of one file, by the ending of its name: x.avx2.cpp, x.avx512.cpp, ...
set(MTIA_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(MTIA_AVXVNNI_FLAGS ${MTIA_AVX2_FLAGS} -mavxvnni)
set(MTIA_AVX512_FLAGS -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512 -mfma -mf16c)
set(MTIA_AVX512VNNI_FLAGS ${MTIA_AVX512_FLAGS} -mavx512vnni)
set(MTIA_AVX512BF16_FLAGS ${MTIA_AVX512_FLAGS} -mavx512bf16)
set(MTIA_AMX_FLAGS ${MTIA_AVX512_FLAGS} -mamx-tile -mamx-bf16 -mamx-int8)

# mtia_add_host_math(): csrc/host_math, one object library for the extension and the tests alike.
function(mtia_add_host_math)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/host_math/*.cpp)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(FILTER sources EXCLUDE REGEX "\\.(avx[0-9a-z]*|amx)\\.cpp$")
  endif()
  foreach(source IN LISTS sources)
    if(source MATCHES "\\.(avx[0-9a-z]*|amx)\\.cpp$")
      string(TOUPPER ${CMAKE_MATCH_1} isa)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${MTIA_${isa}_FLAGS}")
    endif()
  endforeach()
  add_library(mtia_host_math OBJECT ${sources})
  target_link_libraries(mtia_host_math PRIVATE mtia_flags Threads::Threads)
  set_property(GLOBAL APPEND PROPERTY MTIA_LAYERS mtia_host_math)
endfunction()

# mtia_link_layers(target): links every layer's objects.
function(mtia_link_layers target)
  get_property(layers GLOBAL PROPERTY MTIA_LAYERS)
  target_link_libraries(${target} PRIVATE mtia_flags Threads::Threads ${layers})
endfunction()
