// Real Fourier transforms by cuFFT. In place a row of samples has the room of its spectrum, so each row begins where
// complex numbers may, which cuFFT wants of real ones too; and nothing is lost that the way back, which overwrites what
// it reads, could not lose.
#include <cufft.h>

#include <compare>
#include <cstddef>
#include <map>
#include <memory>

#include "../cuda.cuh"
#include "../plans.cuh"

namespace phonaut::cuda {

namespace {

/// Plans that a thread remembers for each GPU, at least. A plan holds tables of about a row's size on the GPU.
constexpr std::size_t remembered = 64;

struct Problem {
  long n = 0, count = 0;
  bool back = false;
  auto operator<=>(const Problem&) const = default;
};

void check_transform(cufftResult status, const Problem& p) {
  if (status != CUFFT_SUCCESS)
    check(status, concat(p.count, p.back ? " inverse" : "", " real Fourier transforms of size ", p.n).c_str());
}

class Handle {
 public:
  Handle() { check(cufftCreate(&handle_), "cufftCreate"); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { cufftDestroy(handle_); }
  cufftHandle get() const { return handle_; }

 private:
  cufftHandle handle_{};
};

struct Plan {
  Handle handle;
  std::size_t workspace = 0;

  explicit Plan(const Problem& p) {
    // The work area is the stream's, call by call.
    check_transform(cufftSetAutoAllocation(handle.get(), 0), p);
    // Of 64 bits: cuFFT indexes by 32 wherever these suffice. That the extents of rows are given at all makes it take
    // the distances, which are counted in elements of either side.
    long long size = p.n, complex = p.n / 2 + 1, real = 2 * complex;
    long long *const in = p.back ? &complex : &real, *const out = p.back ? &real : &complex;
    check_transform(cufftMakePlanMany64(handle.get(), 1, &size, in, 1, *in, out, 1, *out,
                                        p.back ? CUFFT_C2R : CUFFT_R2C, p.count, &workspace),
                    p);
  }
};

/// Of each host thread and device, so that no two threads set the stream of one plan.
Plans<Problem, Plan>& plans() {
  thread_local std::map<int, Plans<Problem, Plan>> all;
  return all.try_emplace(current_device(), remembered).first->second;
}

void transform(const Cuda& cuda, float* rows, const Problem& p) {
  check_captured(cuda, "a Fourier transform");
  const std::shared_ptr<Plan> plan =
      plans().get(p, "a Fourier transform wants a plan, which the first run did not make",
                  [&] { return std::make_shared<Plan>(p); });
  const cufftHandle handle = plan->handle.get();
  // Of the stream, so that neither another stream nor a graph that is repeated can be using it.
  const Scratch<char> workspace(cuda, static_cast<long>(plan->workspace));
  check_transform(cufftSetStream(handle, stream_of(cuda)), p);
  check_transform(cufftSetWorkArea(handle, workspace.data()), p);
  auto* const spectra = reinterpret_cast<cufftComplex*>(rows);
  check_transform(p.back ? cufftExecC2R(handle, spectra, rows) : cufftExecR2C(handle, rows, spectra), p);
}

}  // namespace

void transform_rows(const Cuda& cuda, float* rows, long n, long count) { transform(cuda, rows, {n, count, false}); }
void transform_rows_back(const Cuda& cuda, float* rows, long n, long count) { transform(cuda, rows, {n, count, true}); }

}  // namespace phonaut::cuda
