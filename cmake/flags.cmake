# Compiler flags that every target of this project shares.
add_library(mtia_flags INTERFACE)
target_compile_features(mtia_flags INTERFACE cxx_std_20)
# From csrc: "emulator/emulator.h"; from the root: "kernels/cpp/gemm.h".
target_include_directories(mtia_flags INTERFACE ${CMAKE_SOURCE_DIR}/csrc ${CMAKE_SOURCE_DIR})
# No contraction and no reassociation: results must not depend on the host or on how a loop was vectorised.
target_compile_options(mtia_flags INTERFACE
  -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off -Wall -Wextra -Werror)

if(MTIA_SANITIZE)
  target_compile_options(mtia_flags INTERFACE
    -O1 -g -fno-omit-frame-pointer -fsanitize=${MTIA_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(mtia_flags INTERFACE -fsanitize=${MTIA_SANITIZE})
  # GCC reports false positives in its own headers under these passes.
  target_compile_options(mtia_flags INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overflow)
endif()
