# cmake --install: bin/palate, share/palate/assets, headers, static libraries, find_package(palate), palate.pc.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/palate")

get_property(libraries GLOBAL PROPERTY palate_libraries)
add_library(palate_palate INTERFACE)
set_target_properties(palate_palate PROPERTIES EXPORT_NAME palate)
target_link_libraries(palate_palate INTERFACE palate_eval palate_train)
install(TARGETS palate_palate palate_flags ${libraries} EXPORT palate-targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT palate-targets NAMESPACE palate:: DESTINATION "${package}")
install(CODE "set(palate_source \"${CMAKE_SOURCE_DIR}\")\nset(palate_include \"${CMAKE_INSTALL_INCLUDEDIR}\")")
install(SCRIPT cmake/install_headers.cmake)
install(DIRECTORY assets/ DESTINATION "${CMAKE_INSTALL_DATADIR}/palate/assets")
install(FILES LICENSE THIRD_PARTY.md DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/palate")

# The program finds its assets from where it stands, so that the prefix may move; libtorch and Arrow in the prefix's lib, or where they were when it was
# built.
file(RELATIVE_PATH bin_to_lib "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
file(RELATIVE_PATH bin_to_assets "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_DATADIR}/palate/assets")
set_target_properties(palate PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib};${PALATE_TORCH}/lib;${PALATE_ARROW}")
target_compile_definitions(palate PRIVATE PALATE_INSTALLED_ASSETS="${bin_to_assets}")
install(TARGETS palate RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

# The libraries that the static ones need are found anew where they are used, by the modules that found them here. No path of this machine is written down.
configure_package_config_file(cmake/palate-config.cmake.in "${CMAKE_BINARY_DIR}/palate-config.cmake" INSTALL_DESTINATION "${package}"
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/palate-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/palate-config.cmake" "${CMAKE_BINARY_DIR}/palate-config-version.cmake" cmake/torch.cmake cmake/libraries.cmake DESTINATION "${package}")

# A folder's library stands before those that it uses.
list(REVERSE libraries)
set(palate_pc_libraries "")
foreach(library ${libraries})
  string(APPEND palate_pc_libraries " -l${library}")
endforeach()
set(palate_pc_shared "")
foreach(library ${parquet_library} ${arrow_library} ${torch_gomp})
  get_filename_component(name "${library}" NAME)
  string(APPEND palate_pc_shared " -l:${name}")
endforeach()
configure_file(cmake/palate.pc.in "${CMAKE_BINARY_DIR}/palate.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/palate.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
