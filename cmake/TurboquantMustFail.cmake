# turboquant_add_must_fail_test(<name> <file> <expected-regex>): a test that runs the compiler on <file> and passes when
# the compiler refuses it with a message that matches the CMake regular expression. Matching the message is the point: a
# file that fails over a typing error must not pass for one that trips the static_assert under test.
set(TURBOQUANT_MUST_FAIL_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake")

function(turboquant_add_must_fail_test name file expected)
  get_filename_component(file "${file}" ABSOLUTE)
  set(standard 17)
  if(CMAKE_CXX_STANDARD)
    set(standard ${CMAKE_CXX_STANDARD})
  endif()
  set(directories $<TARGET_PROPERTY:turboquant::turboquant,INTERFACE_INCLUDE_DIRECTORIES>)
  add_test(NAME ${name}
           COMMAND ${CMAKE_COMMAND}
                   "-DCOMPILER=${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_ARG1}"
                   "-DFLAGS=${CMAKE_CXX_FLAGS} ${CMAKE_CXX${standard}_STANDARD_COMPILE_OPTION}"
                   "-DINCLUDE_DIRECTORIES=${directories}"
                   "-DSOURCE=${file}"
                   "-DOBJECT=${CMAKE_CURRENT_BINARY_DIR}/${name}.o"
                   "-DEXPECTED=${expected}"
                   -P "${TURBOQUANT_MUST_FAIL_SCRIPT}")
endfunction()
