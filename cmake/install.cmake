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
install(DIRECTORY palate/ DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/palate" FILES_MATCHING PATTERN "*.h" PATTERN cli EXCLUDE PATTERN world EXCLUDE PATTERN pretrain EXCLUDE)
install(DIRECTORY assets/ DESTINATION "${CMAKE_INSTALL_DATADIR}/palate/assets")
install(FILES LICENSE THIRD_PARTY.md DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/palate")
set_target_properties(palate PROPERTIES INSTALL_RPATH "${PALATE_TORCH}/lib;${PALATE_ARROW}")
install(TARGETS palate RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

# The libraries that the static ones need are found anew where they are used, by the modules that found them here.
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
set(palate_pc_torch "-L${PALATE_TORCH}/lib -Wl,-rpath,${PALATE_TORCH}/lib -ltorch_cpu -lc10 -Wl,--allow-shlib-undefined ${parquet_library} ${arrow_library} -Wl,-rpath,${PALATE_ARROW}")
if(torch_gomp)
  string(APPEND palate_pc_torch " ${torch_gomp}")
endif()
configure_file(cmake/palate.pc.in "${CMAKE_BINARY_DIR}/palate.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/palate.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
