# What `ninja install` installs beside the programs, `ninja dist` (the source as a tarball) and the
# Debian package (`ninja package`, or cpack). All of it obeys DESTDIR.
set(systemd_dir lib/systemd/system CACHE STRING "Folder of the systemd units, below the prefix or absolute")
mark_as_advanced(systemd_dir)

set(LULLD ${CMAKE_INSTALL_FULL_BINDIR}/lulld)
set(LULLCTL ${CMAKE_INSTALL_FULL_BINDIR}/lullctl)
configure_file(contrib/systemd/lulld.service.in ${CMAKE_BINARY_DIR}/systemd/lulld.service @ONLY)
configure_file(contrib/systemd/lulld.socket ${CMAKE_BINARY_DIR}/systemd/lulld.socket COPYONLY)
install(FILES ${CMAKE_BINARY_DIR}/systemd/lulld.service ${CMAKE_BINARY_DIR}/systemd/lulld.socket
  DESTINATION ${systemd_dir})

# shell completion, written by lullctl itself
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/completion.${shell}
    COMMAND lullctl completion ${shell} > ${CMAKE_BINARY_DIR}/completion.${shell} DEPENDS lullctl VERBATIM)
endforeach()
add_custom_target(completion ALL DEPENDS ${CMAKE_BINARY_DIR}/completion.bash ${CMAKE_BINARY_DIR}/completion.zsh
  ${CMAKE_BINARY_DIR}/completion.fish)
install(FILES ${CMAKE_BINARY_DIR}/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME lullctl)
install(FILES ${CMAKE_BINARY_DIR}/completion.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
  RENAME _lullctl)
install(FILES ${CMAKE_BINARY_DIR}/completion.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
  RENAME lullctl.fish)

install(FILES docs/man/lullctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/lull.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES docs/man/lulld.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(PROGRAMS contrib/open-webui/setup DESTINATION ${CMAKE_INSTALL_DATADIR}/lull RENAME open-webui-setup)

# The file that people edit: where lulld looks for it, whatever the prefix; never written over.
install(CODE "
  if(EXISTS \"\$ENV{DESTDIR}/etc/lull/lull.conf\")
    message(STATUS \"Kept: \$ENV{DESTDIR}/etc/lull/lull.conf\")
  else()
    file(INSTALL DESTINATION /etc/lull TYPE FILE FILES \"${CMAKE_SOURCE_DIR}/conf/lull.conf\")
  endif()")

add_custom_target(dist COMMAND ${CMAKE_SOURCE_DIR}/contrib/packaging/dist ${CMAKE_BINARY_DIR} VERBATIM)

include(${CMAKE_CURRENT_LIST_DIR}/deb.cmake)
