# Script behind turboquant_add_must_fail_test: compiles SOURCE and fails unless the compiler refuses it with a message
# that matches EXPECTED. A full compilation, not -fsyntax-only, which may leave templates uninstantiated.
separate_arguments(compiler UNIX_COMMAND "${COMPILER}")
separate_arguments(flags UNIX_COMMAND "${FLAGS}")
list(TRANSFORM INCLUDE_DIRECTORIES PREPEND "-I")

# The C locale keeps translated messages and typographic quotes away from the regular expression.
execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C
                        ${compiler} ${flags} ${INCLUDE_DIRECTORIES} -c ${SOURCE} -o ${OBJECT}
                RESULT_VARIABLE result
                OUTPUT_VARIABLE output
                ERROR_VARIABLE output)
file(REMOVE "${OBJECT}")

if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiled, but must be refused with a message that matches\n  ${EXPECTED}")
endif()
if(NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "${SOURCE} was refused, but no message matches\n  ${EXPECTED}\nThe compiler said:\n${output}")
endif()
