# Request smuggling: lull's parser beside Node's on mutated requests, and what stands in front of lull
# and behind it. The short forms; the long ones: tests/smuggling/run (docs/reliability.md).
find_package(Python3 COMPONENTS Interpreter)
if(TARGET lulld AND Python3_FOUND)
  add_executable(heads ${CMAKE_CURRENT_LIST_DIR}/heads.c)
  target_link_libraries(heads PRIVATE lull_http)
  add_test(NAME integration.smuggling_differential COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/differential.py)
  add_test(NAME integration.smuggling_pairs COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/pairs.py)
  set_tests_properties(integration.smuggling_differential integration.smuggling_pairs PROPERTIES
    LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77
    ENVIRONMENT "LULL_BIN_DIR=${CMAKE_BINARY_DIR};LULL_SANITIZE=${LULL_SANITIZE};PYTHONUNBUFFERED=1")
endif()
