# The Debian package, made by CPack: `ninja package` in a build folder configured with
#   cmake -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DLULL_TESTS=OFF
# contrib/packaging/deb/package does that. deb/finish.cmake puts the staged tree into Debian's form.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lull)
set(CPACK_PACKAGE_CONTACT "lull authors <lull@lull.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "keeps Open WebUI's background calls from slowing down the chat")
set(CPACK_PACKAGE_DESCRIPTION "A small daemon that stands between Open WebUI and a model server.
It recognises the calls that Open WebUI makes by itself (titles,
tags, follow-ups, search queries, autocomplete), answers repeats
from a cache on disk, lets equal ones share one call, holds
autocompletes back until typing stops, and sends what is left to
the task model that you choose. Chats pass through untouched.
.
The installation starts nothing: name the model server in
/etc/lull/lull.conf ([upstream default] url), then:
systemctl enable --now lulld")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, python3")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/deb/conffiles
  ${CMAKE_CURRENT_LIST_DIR}/deb/postinst ${CMAKE_CURRENT_LIST_DIR}/deb/prerm ${CMAKE_CURRENT_LIST_DIR}/deb/postrm)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
  WORLD_READ WORLD_EXECUTE) # whatever the umask
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # /etc is not below the prefix
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/deb/finish.cmake)
set(CPACK_LULL_SOURCE ${CMAKE_SOURCE_DIR})
include(CPack)
