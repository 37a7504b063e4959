# Fault injection: fault.c is preloaded into the real lulld, and each call on the path fails once in
# turn. The test is the short form; the long form: tests/torture/run (docs/reliability.md).
find_package(Python3 COMPONENTS Interpreter)
if(TARGET lulld AND Python3_FOUND AND CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT LULL_SANITIZE MATCHES "thread")
  add_library(fault MODULE ${CMAKE_CURRENT_LIST_DIR}/fault.c)
  target_compile_definitions(fault PRIVATE _GNU_SOURCE)
  target_compile_options(fault PRIVATE -Wall -Wextra -Wconversion -Wshadow -fno-builtin)
  target_link_libraries(fault PRIVATE ${CMAKE_DL_LIBS})
  add_test(NAME integration.torture COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/torture.py)
  add_test(NAME integration.torture_store COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/store.py)
  set_tests_properties(integration.torture integration.torture_store PROPERTIES LABELS integration TIMEOUT 600
    ENVIRONMENT "LULL_BIN_DIR=${CMAKE_BINARY_DIR};LULL_SANITIZE=${LULL_SANITIZE};PYTHONUNBUFFERED=1")
endif()
