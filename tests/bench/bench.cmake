# Benchmarks: built on demand (`ninja bench_window`), run by hand, never part of the tests.
if(TARGET lull_path AND TARGET lull_control)
  add_executable(bench_window EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/window.c
    ${CMAKE_CURRENT_SOURCE_DIR}/scenario/world.c ${CMAKE_CURRENT_SOURCE_DIR}/support/fake_loop.c)
  target_include_directories(bench_window PRIVATE ${CMAKE_SOURCE_DIR}/sidecar ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(bench_window PRIVATE lull_path lull_control PkgConfig::CJSON m)
endif()
