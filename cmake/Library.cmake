# phonaut::headers -> phonaut::cpu, phonaut::audio (-> phonaut::cuda) -> phonaut::phonaut.

# The umbrella header lists what is there, so that nobody has to.
file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR}/include CONFIGURE_DEPENDS include/phonaut/*.hpp)
list(SORT headers)
set(PHONAUT_INCLUDES "")
foreach(header IN LISTS headers)
  # io/audio.hpp and testing/ are asked for by name: they need a library or belong to tests.
  if(NOT header MATCHES "^phonaut/(testing/|version|phonaut\\.hpp)")
    string(APPEND PHONAUT_INCLUDES "#include \"${header}\"\n")
  endif()
endforeach()
if(PHONAUT_BACKEND STREQUAL "cuda")
  set(PHONAUT_BACKEND_TYPE Cuda)
elseif(PHONAUT_BACKEND STREQUAL "cpu")
  set(PHONAUT_BACKEND_TYPE Cpu)
else()
  message(FATAL_ERROR "PHONAUT_BACKEND is '${PHONAUT_BACKEND}', but it must be cpu or cuda")
endif()
set(generated ${PROJECT_BINARY_DIR}/include)
configure_file(cmake/phonaut.hpp.in ${generated}/phonaut/phonaut.hpp @ONLY)

add_library(phonaut_headers INTERFACE)
add_library(phonaut::headers ALIAS phonaut_headers)
target_compile_features(phonaut_headers INTERFACE cxx_std_20)
target_include_directories(phonaut_headers INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                     $<BUILD_INTERFACE:${generated}>
                                                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS src/*.cpp)
list(FILTER sources EXCLUDE REGEX "/src/(io/audio|cuda/|parallel/(mpi|nccl))[^/]*")
add_library(phonaut_cpu STATIC ${sources})
add_library(phonaut::cpu ALIAS phonaut_cpu)
target_link_libraries(phonaut_cpu PUBLIC phonaut_headers
                                  PRIVATE $<BUILD_INTERFACE:phonaut_flags> $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>
                                          $<BUILD_INTERFACE:Eigen3::Eigen>
                                          Threads::Threads)
set_target_properties(phonaut_cpu PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME cpu)
if(COMMAND phonaut_add_cpu_kernels)
  phonaut_add_cpu_kernels(phonaut_cpu)
endif()
target_include_directories(phonaut_cpu PRIVATE ${PROJECT_SOURCE_DIR}/src)

find_package(PkgConfig REQUIRED)
pkg_check_modules(sndfile IMPORTED_TARGET sndfile)
pkg_check_modules(samplerate IMPORTED_TARGET samplerate)
set(PHONAUT_LIBRARIES phonaut_headers phonaut_cpu)
if(sndfile_FOUND AND samplerate_FOUND)
  file(GLOB audio_sources CONFIGURE_DEPENDS src/io/audio*.cpp)
  if(audio_sources)
    add_library(phonaut_audio STATIC ${audio_sources})
    add_library(phonaut::audio ALIAS phonaut_audio)
    target_link_libraries(phonaut_audio PUBLIC phonaut_cpu
                                        PRIVATE $<BUILD_INTERFACE:phonaut_flags> PkgConfig::sndfile PkgConfig::samplerate)
    set_target_properties(phonaut_audio PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME audio)
    list(APPEND PHONAUT_LIBRARIES phonaut_audio)
  endif()
else()
  message(STATUS "phonaut: no libsndfile or libsamplerate, so audio files cannot be read (phonaut::audio is left out)")
endif()
if(TARGET phonaut_cuda)
  list(APPEND PHONAUT_LIBRARIES phonaut_cuda)
endif()

add_library(phonaut_phonaut INTERFACE)
add_library(phonaut::phonaut ALIAS phonaut_phonaut)
target_link_libraries(phonaut_phonaut INTERFACE ${PHONAUT_LIBRARIES})
