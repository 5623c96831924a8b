# Install rules: the headers, a CMake package and a pkg-config file. The library has no binaries, so everything goes to
# architecture-independent places.
include(CMakePackageConfigHelpers)

set(turboquant_config_dir "${CMAKE_INSTALL_DATADIR}/cmake/turboquant")
set(turboquant_pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/turboquant" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl")

install(TARGETS turboquant EXPORT turboquantTargets)
install(EXPORT turboquantTargets NAMESPACE turboquant:: DESTINATION "${turboquant_config_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/turboquantConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/turboquantConfig.cmake"
                              INSTALL_DESTINATION "${turboquant_config_dir}"
                              NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/turboquantConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/turboquantConfig.cmake" "${PROJECT_BINARY_DIR}/turboquantConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/TurboquantFindEigen.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/TurboquantKernels.cmake"
        DESTINATION "${turboquant_config_dir}")

# Paths in the pkg-config file are relative to the file, so that an installed tree can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_DATADIR}")
  set(turboquant_pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(turboquant_pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  file(RELATIVE_PATH turboquant_pc_prefix "/${turboquant_pkgconfig_dir}" "/")
  string(REGEX REPLACE "/$" "" turboquant_pc_prefix "\${pcfiledir}/${turboquant_pc_prefix}")
  set(turboquant_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/turboquant.pc.in" "${PROJECT_BINARY_DIR}/turboquant.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/turboquant.pc" DESTINATION "${turboquant_pkgconfig_dir}")
