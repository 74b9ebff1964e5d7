# cmake -DNM=nm -DISA=avx512 -DOBJECT_LIST=file -P CheckIsaObjects.cmake
#
# Fails if an object file defines a symbol outside of phonaut::kernel::<ISA> that another object may define too (weak,
# unique, common) or that others can call (strong): such code would run on processors that lack the instructions.
file(STRINGS ${OBJECT_LIST} objects)
if(NOT objects)
  message(FATAL_ERROR "no object files in ${OBJECT_LIST}")
endif()
set(leaks "")
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} --defined-only --extern-only --format=posix ${object}
                  OUTPUT_VARIABLE symbols RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${NM} cannot read ${object}")
  endif()
  string(REGEX MATCHALL "[^\n]+" lines "${symbols}")
  string(LENGTH ${ISA} length)
  foreach(line IN LISTS lines)
    # Mangled: nested names in the namespace begin with this, whatever they are instantiated with. Data, lambdas and
    # local entities inside such functions (_ZZN...) belong to them.
    if(line MATCHES "^_Z(Z|TV|TI|TS|GV|GR|ZZ)?NK?7phonaut6kernel${length}${ISA}")
      continue()
    endif()
    # Pointers to the personality routine and sanitizer bookkeeping: data, the same in every pass.
    if(line MATCHES "^DW\\.ref\\.|^__odr_asan")
      continue()
    endif()
    string(APPEND leaks "\n  ${line}  in ${object}")
  endforeach()
endforeach()
if(leaks)
  message(FATAL_ERROR "symbols outside of phonaut::kernel::${ISA}:${leaks}")
endif()
