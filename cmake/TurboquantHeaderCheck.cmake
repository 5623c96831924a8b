# turboquant_add_header_check(<target>): compiles each public header alone, as the only line of a translation unit, with
# all warnings. A header that leans on what its includer happened to include fails the build.
#
# Public are include/turboquant/*.hpp and include/turboquant/simd/*.hpp. Files of one SIMD target and *.inl files are
# meant to be included in one place, inside a region, and are not compiled alone.
function(turboquant_add_header_check target)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
       "${PROJECT_SOURCE_DIR}/include/turboquant/*.hpp" "${PROJECT_SOURCE_DIR}/include/turboquant/simd/*.hpp")
  set(sources)
  foreach(header IN LISTS headers)
    string(REGEX REPLACE "\\.hpp$" ".cpp" source "${CMAKE_CURRENT_BINARY_DIR}/${target}/${header}")
    file(GENERATE OUTPUT "${source}" CONTENT "#include <${header}>\n")
    list(APPEND sources "${source}")
  endforeach()
  add_library(${target} OBJECT ${sources})
  target_link_libraries(${target} PRIVATE turboquant_warnings)
  # All of them begin with config.hpp, and that with Eigen.
  target_precompile_headers(${target} PRIVATE <Eigen/Core>)
endfunction()
