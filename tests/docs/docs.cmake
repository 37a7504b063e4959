# The pages for people: links, and every command and every piece of configuration in them. Python's standard
# library is all they need.
find_package(Python3 COMPONENTS Interpreter)
if(TARGET lulld AND Python3_FOUND)
  foreach(check links snippets reference selftest)
    add_test(NAME docs.${check} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/check.py ${check})
    set_tests_properties(docs.${check} PROPERTIES
      LABELS docs TIMEOUT 300 SKIP_RETURN_CODE 77
      ENVIRONMENT "LULL_BIN_DIR=${CMAKE_BINARY_DIR};LULL_SANITIZE=${LULL_SANITIZE};PYTHONUNBUFFERED=1")
  endforeach()
endif()
