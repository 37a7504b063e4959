# Scenario tests: the daemon's own objects in virtual time. base/loop and the upstream contract come from
# support/fake_loop.c and scenario/model.c instead of the libraries (their symbols are defined first,
# so the linker does not take those archive members).
file(GLOB scenario_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${scenario_tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source} ${world_sources})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/sidecar ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE lull_exchange lull_control PkgConfig::CMOCKA PkgConfig::CJSON)
  add_test(NAME scenario.${name} COMMAND ${name})
  set_tests_properties(scenario.${name} PROPERTIES TIMEOUT ${scenario_limit})
endforeach()
# It counts calls of the JSON readers.
target_link_options(test_reading PRIVATE LINKER:--wrap=json_canonical LINKER:--wrap=json_edit
  LINKER:--wrap=json_member LINKER:--wrap=cJSON_ParseWithLength)
# It counts the parts of a list.
target_link_options(test_lists PRIVATE LINKER:--wrap=cache_list)
