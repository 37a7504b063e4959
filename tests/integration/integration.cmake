# Tests that start the real lulld with real sockets and a scripted model server: one ctest entry per
# file tests/integration/test_*.py. Python's standard library is all they need.
find_package(Python3 COMPONENTS Interpreter)
if(TARGET lulld AND Python3_FOUND)
  file(GLOB integration_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.py)
  foreach(source ${integration_tests})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    add_test(NAME integration.${name} COMMAND ${Python3_EXECUTABLE} -B ${source})
    set_tests_properties(integration.${name} PROPERTIES
      LABELS integration TIMEOUT 600 SKIP_RETURN_CODE 77
      ENVIRONMENT "LULL_BIN_DIR=${CMAKE_BINARY_DIR};LULL_SANITIZE=${LULL_SANITIZE};PYTHONUNBUFFERED=1")
  endforeach()
elseif(NOT Python3_FOUND)
  message(STATUS "no Python 3: the integration tests are left out")
endif()
