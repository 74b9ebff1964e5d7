#pragma once
// The memory of the emulated GPU: one stretch of addresses that may be touched only while a kernel or a copy runs, so
// that host code which reads a device tensor ends the program here as it would with a GPU.
#include <cstddef>

namespace phonaut::emulator {

/// Throws std::bad_alloc. What lies around the bytes may not be touched, under the address sanitizer.
void* allocate_device(std::size_t bytes);
void release_device(void* p) noexcept;
bool is_device_address(const void* p);

/// While one exists, device memory can be read and written.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace phonaut::emulator
