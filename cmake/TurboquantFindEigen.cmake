# turboquant_find_eigen(): defines Eigen3::Eigen from the first Eigen on CMake's search path that is 3.4 or newer, below
# 6; does nothing where the target exists, and leaves it undefined where there is none. Used by the build and, installed,
# by turboquantConfig.cmake.
#
# A plain find_package cannot say this. Eigen's version file accepts only the major version asked for: a request for 3.4
# passes over a 5 that the user pointed at in favour of any 3.4 behind it. A request without a version takes a 3.3 that
# happens to come first, and the targets it defines cannot be taken back. So a first call asks for a version that does
# not exist, which makes CMake list all candidates in order without loading any.
function(turboquant_find_eigen)
  if(TARGET Eigen3::Eigen)
    return()
  endif()
  find_package(Eigen3 9999 EXACT QUIET NO_MODULE)
  set(versions ${Eigen3_CONSIDERED_VERSIONS})
  foreach(config IN LISTS Eigen3_CONSIDERED_CONFIGS)
    list(GET versions 0 version)
    list(REMOVE_AT versions 0)
    if(version VERSION_GREATER_EQUAL 3.4 AND version VERSION_LESS 6)
      get_filename_component(directory "${config}" DIRECTORY)
      set(Eigen3_DIR "${directory}" CACHE PATH "Directory of Eigen3Config.cmake" FORCE)
      find_package(Eigen3 QUIET NO_MODULE)
      return()
    endif()
  endforeach()
endfunction()
