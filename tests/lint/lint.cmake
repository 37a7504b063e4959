# The checks of the source itself: one ctest entry each, and one that proves that each can fail.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  foreach(check ranks libraries banned sizes comments format tables tidy scripts spelling words entries reliability selftest)
    add_test(NAME lint.${check} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/${check}.py)
    set_tests_properties(lint.${check} PROPERTIES LABELS lint TIMEOUT 300 SKIP_RETURN_CODE 77
      ENVIRONMENT LULL_BUILD=${CMAKE_BINARY_DIR})
  endforeach()
endif()
