# turboquant_add_kernels(<name>): a static library of the kernels for every number of bits. What links it compiles none of
# its own, except with OpenMP or other flags that change code. In programs of many translation units that saves most of the
# time of compilation; it costs a few percent where a quantizer's dimension is fixed at compile time.
function(turboquant_add_kernels name)
  set(sources)
  foreach(bits RANGE 1 8)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}/kernels_${bits}.cpp")
    file(GENERATE OUTPUT "${source}" CONTENT
      "#define TURBOQUANT_KERNELS_OF_BITS ${bits}\n#include <turboquant/simd/kernels.hpp>\n")
    list(APPEND sources "${source}")
  endforeach()
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(${name} PUBLIC turboquant::turboquant)
  target_compile_definitions(${name} PUBLIC TURBOQUANT_COMPILED_KERNELS)
endfunction()
