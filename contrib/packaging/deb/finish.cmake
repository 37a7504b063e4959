# finish.cmake: run by CPack on the staged tree, before it becomes a package: what Debian's policy wants
# otherwise than a plain installation: compressed manual pages, a changelog in Debian's form, a copyright
# file. The date is SOURCE_DATE_EPOCH, else now.
cmake_minimum_required(VERSION 3.22)
set(root ${CPACK_TEMPORARY_DIRECTORY})
set(doc ${root}/usr/share/doc/lull)

function(gzip file)
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(GLOB pages ${root}/usr/share/man/man*/*.[158])
foreach(page ${pages})
  gzip(${page})
endforeach()

string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${doc}/changelog.Debian "lull (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * Release ${CPACK_PACKAGE_VERSION}; what is new is in changelog.gz.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
file(RENAME ${doc}/CHANGELOG.md ${doc}/changelog)
gzip(${doc}/changelog)
gzip(${doc}/changelog.Debian)

file(REMOVE ${doc}/LICENSE)
file(COPY ${CPACK_LULL_SOURCE}/contrib/packaging/deb/copyright DESTINATION ${doc})

# Modes are the package's own, not those of the source tree or of the umask.
file(CHMOD_RECURSE ${root}/usr/share/man ${doc}
  FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
  DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
