# Mixed load on the real lulld, checked answer by answer. The test is the short form; the long forms:
# tests/soak/run (docs/reliability.md).
find_package(Python3 COMPONENTS Interpreter)
if(TARGET lulld AND Python3_FOUND AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  add_test(NAME integration.soak COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/soak.py --seconds 3 --rate 60 --slow 2)
  set_tests_properties(integration.soak PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77
    ENVIRONMENT "LULL_BIN_DIR=${CMAKE_BINARY_DIR};LULL_SANITIZE=${LULL_SANITIZE};PYTHONUNBUFFERED=1")
  add_test(NAME unit.soak.test_memory COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_memory.py)
endif()
