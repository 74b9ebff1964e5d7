# phonaut_cuda: the CUDA backend, where a toolkit is found. Without one the build says so and goes on.
if(PHONAUT_CUDA AND NOT PHONAUT_SANITIZE AND NOT PHONAUT_FUZZ)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 75-virtual 90-real)
      if(DEFINED ENV{CUDAARCHS})
        set(CMAKE_CUDA_ARCHITECTURES $ENV{CUDAARCHS})
      endif()
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit QUIET)
  endif()
  if(NOT CMAKE_CUDA_COMPILER OR NOT TARGET CUDA::cudart OR NOT TARGET CUDA::cublasLt)
    message(STATUS "phonaut: no CUDA toolkit with cuBLASLt was found, so the CUDA backend is left out")
  endif()
endif()
file(GLOB cuda_kernels CONFIGURE_DEPENDS kernels/cuda/*.cu)
if(TARGET CUDA::cudart AND TARGET CUDA::cublasLt)
  file(GLOB cuda_services CONFIGURE_DEPENDS kernels/cuda/native/*.cu)
  add_library(phonaut_cuda STATIC ${cuda_kernels} ${cuda_services})
  add_library(phonaut::cuda ALIAS phonaut_cuda)
  target_include_directories(phonaut_cuda PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  # By hand: CMake before 3.26 does not know the standard flag of this nvcc.
  target_compile_options(phonaut_cuda PRIVATE -std=c++20 --extended-lambda --expt-relaxed-constexpr)
  # phonaut_cpu: names of precisions, host memory.
  target_link_libraries(phonaut_cuda PUBLIC phonaut_headers phonaut_cpu CUDA::cudart CUDA::cublasLt)
  target_compile_definitions(phonaut_cuda INTERFACE PHONAUT_HAS_CUDA=1)
  set_target_properties(phonaut_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME cuda)
endif()

# phonaut_cuda_emulated: the same kernels as plain C++ over the grid emulator of tests/cuda_emulator, for the tests. It
# defines what phonaut_cuda does, so a program links one of the two. No toolkit is needed.
if(PHONAUT_TESTS)
  set(emulated_sources "")
  foreach(kernel IN LISTS cuda_kernels)
    get_filename_component(name ${kernel} NAME_WE)
    set(source ${PROJECT_BINARY_DIR}/cuda_emulated/${name}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"kernels/cuda/${name}.cu\"\n")
    list(APPEND emulated_sources ${source})
  endforeach()
  file(GLOB emulator_sources CONFIGURE_DEPENDS tests/cuda_emulator/*.cpp)
  add_library(phonaut_cuda_emulated STATIC ${emulated_sources} ${emulator_sources})
  target_include_directories(phonaut_cuda_emulated PRIVATE ${PROJECT_SOURCE_DIR}
                                                   PUBLIC ${PROJECT_SOURCE_DIR}/tests/cuda_emulator
                                                          ${PROJECT_SOURCE_DIR}/kernels/cuda)
  # Of the optimisations those that cost little time to compile; floats are added and multiplied as they are written, for a
  # GPU's compiler decides about fused ones by itself.
  target_compile_options(phonaut_cuda_emulated PRIVATE -O1)
  target_compile_definitions(phonaut_cuda_emulated PRIVATE PHONAUT_EMULATE_GPU=1)
  target_link_libraries(phonaut_cuda_emulated PUBLIC phonaut_headers PRIVATE phonaut_flags)
endif()
