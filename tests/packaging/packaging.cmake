# Checks of what goes to people: the image's parts, the compose files, the systemd units, the installation,
# the source tarball and the Debian package, the workflow. Each takes seconds; 77 where a tool is missing.
# The long ones are scripts to run by hand: tests/container/run, tests/packaging/*.sh.
find_package(Python3 COMPONENTS Interpreter)
if(TARGET lulld AND Python3_FOUND)
  file(GLOB packaging_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.py)
  foreach(source ${packaging_tests})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    add_test(NAME packaging.${name} COMMAND ${Python3_EXECUTABLE} -B ${source})
    set_tests_properties(packaging.${name} PROPERTIES
      LABELS packaging TIMEOUT 300 SKIP_RETURN_CODE 77
      ENVIRONMENT "LULL_BIN_DIR=${CMAKE_BINARY_DIR};LULL_SANITIZE=${LULL_SANITIZE};PYTHONUNBUFFERED=1")
  endforeach()
endif()
