# Installed package: find_package(phonaut), and pkg-config phonaut.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/phonaut DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(FILES ${PROJECT_BINARY_DIR}/include/phonaut/phonaut.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/phonaut)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/phonaut)
set_target_properties(phonaut_headers PROPERTIES EXPORT_NAME headers)
set_target_properties(phonaut_phonaut PROPERTIES EXPORT_NAME phonaut)
set(PHONAUT_BY_NAME "")  # not part of phonaut::phonaut
foreach(target phonaut_mpi phonaut_nccl)
  if(TARGET ${target})
    list(APPEND PHONAUT_BY_NAME ${target})
  endif()
endforeach()
install(TARGETS ${PHONAUT_LIBRARIES} ${PHONAUT_BY_NAME} phonaut_phonaut EXPORT phonaut-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT phonaut-targets NAMESPACE phonaut:: DESTINATION ${package_dir})

set(PHONAUT_HAS_AUDIO OFF)
if(TARGET phonaut_audio)
  set(PHONAUT_HAS_AUDIO ON)
endif()
set(PHONAUT_HAS_CUDA OFF)
if(TARGET phonaut_cuda)
  set(PHONAUT_HAS_CUDA ON)
endif()
set(PHONAUT_HAS_CUDNN OFF)
if(TARGET phonaut::cudnn)
  set(PHONAUT_HAS_CUDNN ON)
endif()
configure_package_config_file(cmake/phonaut-config.cmake.in ${PROJECT_BINARY_DIR}/phonaut-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/phonaut-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/phonaut-config.cmake ${PROJECT_BINARY_DIR}/phonaut-config-version.cmake
        DESTINATION ${package_dir})

# pkg-config: our archives in link order, then what they stand on.
set(PHONAUT_PC_LIBS "-lphonaut_cpu")
set(PHONAUT_PC_REQUIRES "")
if(PHONAUT_HAS_AUDIO)
  set(PHONAUT_PC_LIBS "-lphonaut_audio ${PHONAUT_PC_LIBS}")
  set(PHONAUT_PC_REQUIRES "sndfile samplerate")
endif()
set(PHONAUT_PC_SYSTEM "-pthread")
if(PHONAUT_ONEDNN)
  string(APPEND PHONAUT_PC_SYSTEM " -fopenmp -ldnnl")
endif()
configure_file(cmake/phonaut.pc.in ${PROJECT_BINARY_DIR}/phonaut.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/phonaut.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
