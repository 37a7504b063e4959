# Benchmarks: built on demand (`ninja bench_window`) and run by hand; only the count of instructions,
# which repeats, is one of the tests.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND AND TARGET lulld)
  add_test(NAME bench.instructions COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/instructions.py --check)
  set_tests_properties(bench.instructions PROPERTIES LABELS bench TIMEOUT 300 SKIP_RETURN_CODE 77
    ENVIRONMENT LULL_BIN_DIR=${CMAKE_BINARY_DIR})
endif()

if(TARGET lull_exchange AND TARGET lull_control)
  add_executable(bench_window EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/window.c
    ${CMAKE_CURRENT_SOURCE_DIR}/scenario/world.c ${CMAKE_CURRENT_SOURCE_DIR}/support/fake_loop.c)
  target_include_directories(bench_window PRIVATE ${CMAKE_SOURCE_DIR}/sidecar ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(bench_window PRIVATE lull_exchange lull_control PkgConfig::CJSON m)
endif()

# typing/: the traces, and what is made of them.
set(typing_dir ${CMAKE_CURRENT_LIST_DIR}/typing)
set(typing_traces ${typing_dir}/trace.c ${typing_dir}/compose.c ${typing_dir}/suggest.c ${typing_dir}/seeds.c)
if(TARGET lull_base)
  add_executable(typing_traces EXCLUDE_FROM_ALL ${typing_dir}/describe.c ${typing_traces})
  target_include_directories(typing_traces PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(typing_traces PRIVATE LULL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(typing_traces PRIVATE lull_base)
endif()
if(TARGET lull_exchange AND TARGET lull_control)
  add_executable(bench_typing EXCLUDE_FROM_ALL ${typing_traces} ${typing_dir}/record.c
    ${typing_dir}/model.c ${typing_dir}/wire.c ${typing_dir}/port_lull.c ${typing_dir}/port_plain.c
    ${typing_dir}/editor.c ${typing_dir}/desk.c ${typing_dir}/tally.c ${typing_dir}/policies.c
    ${typing_dir}/without.c ${typing_dir}/run.c ${typing_dir}/report.c ${typing_dir}/targets.c
    ${typing_dir}/main.c ${CMAKE_CURRENT_SOURCE_DIR}/scenario/world.c
    ${CMAKE_CURRENT_SOURCE_DIR}/support/fake_loop.c)
  target_include_directories(bench_typing PRIVATE ${CMAKE_SOURCE_DIR}/sidecar ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(bench_typing PRIVATE LULL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(bench_typing PRIVATE lull_exchange lull_control PkgConfig::CJSON m)
endif()

if(TARGET lull_dialect)
  add_executable(bench_cross EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/cross.c)
  target_compile_definitions(bench_cross PRIVATE LULL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(bench_cross PRIVATE lull_dialect PkgConfig::CJSON)
endif()

if(TARGET lull_schedule)
  add_executable(bench_schedule EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/schedule.c)
  target_link_libraries(bench_schedule PRIVATE lull_schedule)
endif()

if(TARGET lull_base)
  add_executable(bench_bare EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bare.c)
  target_link_libraries(bench_bare PRIVATE lull_base)
  add_executable(bench_load EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/load.c)
  target_link_libraries(bench_load PRIVATE lull_base)
  add_executable(bench_call EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/call.c)
  target_link_libraries(bench_call PRIVATE lull_base PkgConfig::CURL)
endif()
