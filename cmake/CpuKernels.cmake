# phonaut_add_cpu_kernels(<target>): adds every kernels/cpu/*.cpp to a library, compiled once per instruction set (the
# kernels, in a namespace of their own) and once without (the dispatcher). kernels/README.md tells how a file looks.
#
# Defines the tests
#   isa_objects_share_no_symbols   no object of an instruction set defines a symbol that another pass could pick up
#   isa_symbol_check_finds_leaks   the check above fails on an object that does

find_package(xsimd REQUIRED)

option(PHONAUT_ONEDNN "Link oneDNN, as another provider of matrix products to compare with (PHONAUT_GEMM=onednn)" OFF)
if(PHONAUT_ONEDNN)
  # By hand: the package file of Debian's oneDNN asks for OpenCL headers, which nobody here needs.
  find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h REQUIRED)
  find_library(DNNL_LIBRARY dnnl REQUIRED)
  # To tell oneDNN, whose threads are OpenMP's, that it shall use one.
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()

set(PHONAUT_ISA_FLAGS_baseline "")
set(PHONAUT_ISA_FLAGS_avx2 -mavx2 -mfma)
set(PHONAUT_ISA_FLAGS_avx512 -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)
# Not sets of their own for callers (Isa), but units beside avx512 (Cpu::bf16_unit, Cpu::vnni): the files below are
# compiled once more for each of them, and their dispatchers (PHONAUT_DISPATCH_PRODUCTS, PHONAUT_DISPATCH_BYTES) know it.
set(PHONAUT_ISA_FLAGS_avx512_vnni ${PHONAUT_ISA_FLAGS_avx512} -mavx512vnni)
set(PHONAUT_ISA_FLAGS_avx512_bf16 ${PHONAUT_ISA_FLAGS_avx512} -mavx512bf16)
set(PHONAUT_ISA_FLAGS_avx512_amx ${PHONAUT_ISA_FLAGS_avx512_bf16} -mamx-tile -mamx-bf16)
# The kernels of AMX on a processor without it: tests run them.
set(PHONAUT_ISA_FLAGS_amx_emulated ${PHONAUT_ISA_FLAGS_avx512_bf16} -DPHONAUT_EMULATE_AMX)
set(PHONAUT_BF16_KERNELS gemm.cpp probe.cpp)
set(PHONAUT_VNNI_KERNELS byte_products.cpp)

set(isas baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND isas avx2 avx512)
endif()
set(PHONAUT_ISAS ${isas} CACHE STRING "Instruction sets to build kernels for, weakest first; the baseline must be one")
foreach(isa IN LISTS PHONAUT_ISAS)
  if(NOT isa IN_LIST isas)
    message(FATAL_ERROR "PHONAUT_ISAS names ${isa}, but for ${CMAKE_SYSTEM_PROCESSOR} there are: ${isas}")
  endif()
endforeach()
if(NOT baseline IN_LIST PHONAUT_ISAS)
  message(FATAL_ERROR "PHONAUT_ISAS is '${PHONAUT_ISAS}', but baseline must be in it")
endif()

# An object library with one instruction set's code.
function(phonaut_add_isa_objects name isa)
  add_library(${name} OBJECT ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/kernels/cpu)
  target_include_directories(${name} SYSTEM PRIVATE $<TARGET_PROPERTY:xsimd,INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_definitions(${name} PRIVATE PHONAUT_ISA=${isa})
  # Optimised in every build type: at -O0 the compiler emits std:: and xsimd functions as weak symbols, compiled for
  # this instruction set, and the linker may keep those for the whole program.
  target_compile_options(${name} PRIVATE ${PHONAUT_ISA_FLAGS_${isa}} -O3 -fno-math-errno -fno-trapping-math
                                         -fno-exceptions)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC 12's own AVX-512 header reads an undefined register on purpose, and warns about it (GCC bug 105593).
    target_compile_options(${name} PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  if(TARGET phonaut_flags)
    target_link_libraries(${name} PRIVATE phonaut_flags)
  endif()
  if(PHONAUT_SANITIZE OR PHONAUT_FUZZ)
    # Instrumented polynomials take compilers minutes. Loads and stores stay checked; the checks of undefined behaviour
    # run over the dispatchers and everything above them. As a library, to come behind the flags that ask for them.
    if(NOT TARGET phonaut_unchecked)
      add_library(phonaut_unchecked INTERFACE)
      target_compile_options(phonaut_unchecked INTERFACE -O2 -fno-sanitize=undefined)
    endif()
    target_link_libraries(${name} PRIVATE phonaut_unchecked)
  endif()
endfunction()

# A test that runs cmake/CheckIsaObjects.cmake over an object library.
function(phonaut_add_isa_symbol_test test isa objects)
  set(list ${CMAKE_CURRENT_BINARY_DIR}/${test}.txt)
  file(GENERATE OUTPUT ${list} CONTENT "$<JOIN:$<TARGET_OBJECTS:${objects}>,\n>\n")
  add_test(NAME ${test} COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DISA=${isa} -DOBJECT_LIST=${list}
                                -P ${PROJECT_SOURCE_DIR}/cmake/CheckIsaObjects.cmake)
endfunction()

function(phonaut_add_cpu_kernels target)
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cpp)
  target_sources(${target} PRIVATE ${kernels})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/kernels/cpu)
  set(isas ${PHONAUT_ISAS})
  if(avx512 IN_LIST isas)
    list(APPEND isas avx512_vnni avx512_bf16 avx512_amx)
  endif()
  foreach(isa IN LISTS isas)
    set(files ${kernels})
    if(isa MATCHES "^avx512_(bf16|amx)$")
      list(TRANSFORM PHONAUT_BF16_KERNELS PREPEND ${PROJECT_SOURCE_DIR}/kernels/cpu/ OUTPUT_VARIABLE files)
    elseif(isa STREQUAL avx512_vnni)
      list(TRANSFORM PHONAUT_VNNI_KERNELS PREPEND ${PROJECT_SOURCE_DIR}/kernels/cpu/ OUTPUT_VARIABLE files)
    endif()
    phonaut_add_isa_objects(phonaut_cpu_${isa} ${isa} ${files})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:phonaut_cpu_${isa}>)
    string(TOUPPER ${isa} name)
    target_compile_definitions(${target} PRIVATE PHONAUT_HAS_${name})
    if(PHONAUT_TESTS)
      phonaut_add_isa_symbol_test(isa_objects_share_no_symbols_${isa} ${isa} phonaut_cpu_${isa})
    endif()
  endforeach()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  if(PHONAUT_ONEDNN)
    target_compile_definitions(${target} PRIVATE PHONAUT_ONEDNN)
    target_include_directories(${target} SYSTEM PRIVATE ${DNNL_INCLUDE_DIR})
    target_link_libraries(${target} PRIVATE ${DNNL_LIBRARY} OpenMP::OpenMP_CXX)
  endif()
  if(PHONAUT_TESTS)
    list(GET PHONAUT_ISAS -1 strongest)
    phonaut_add_isa_objects(phonaut_isa_leak ${strongest} ${PROJECT_SOURCE_DIR}/tests/kernels/isa_leak.cpp)
    phonaut_add_isa_symbol_test(isa_symbol_check_finds_leaks ${strongest} phonaut_isa_leak)
    set_tests_properties(isa_symbol_check_finds_leaks PROPERTIES WILL_FAIL TRUE)
  endif()
endfunction()
