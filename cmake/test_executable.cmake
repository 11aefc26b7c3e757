# mtia_tests: the C++ tests of every torch-free layer in one executable.
file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/cpp/*.cpp)
add_executable(mtia_tests EXCLUDE_FROM_ALL ${test_sources})
target_include_directories(mtia_tests PRIVATE ${CMAKE_SOURCE_DIR}/tests/cpp)
target_compile_definitions(mtia_tests PRIVATE MTIA_SOURCE_DIRECTORY="${CMAKE_SOURCE_DIR}")
mtia_link_layers(mtia_tests)
