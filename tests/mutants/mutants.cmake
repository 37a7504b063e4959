# Mutants: the rules of 'the chat first' taken out one at a time. The test only sees whether each can
# still be applied; `ninja mutants` applies them all, and takes minutes.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME mutants.apply COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/run --check)
  set_tests_properties(mutants.apply PROPERTIES LABELS lint TIMEOUT 60)
  add_custom_target(mutants COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/run USES_TERMINAL)
endif()
