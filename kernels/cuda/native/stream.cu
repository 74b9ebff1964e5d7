// Streams and captured graphs by the CUDA runtime.
#include "../capture.cuh"
#include "../runtime.cuh"
#include "check.cuh"
#include "phonaut/core/cuda_stream.hpp"

namespace phonaut {

namespace {
void* new_stream(unsigned flags) {
  cudaStream_t stream = nullptr;
  cuda::check(cudaStreamCreateWithFlags(&stream, flags), "a new stream");
  return stream;
}
}  // namespace

// In order with the default stream, on which the library puts what has no context.
CudaStream::CudaStream() : stream_(new_stream(cudaStreamDefault)) {}
CudaStream::~CudaStream() {
  if (!stream_) return;
  cudaStreamSynchronize(cuda::stream_of(backend()));
  cudaStreamDestroy(cuda::stream_of(backend()));
}
void CudaStream::wait() const { cuda::wait_for(backend()); }
void CudaStream::follow(const Cuda& other) const {
  cuda::refuse_in_capture("a stream is told to follow another, which a launch would not do");
  cudaEvent_t reached = nullptr;
  cuda::check(cudaEventCreateWithFlags(&reached, cudaEventDisableTiming), "an event");
  cudaError_t status = cudaEventRecord(reached, cuda::stream_of(other));
  if (status == cudaSuccess) status = cudaStreamWaitEvent(cuda::stream_of(backend()), reached, 0);
  cudaEventDestroy(reached);  // goes when the stream is past it
  cuda::check(status, "a stream that follows another");
}

namespace cuda {

// On a stream of its own, which nothing waits for: the default stream of other threads would end a capture on one that
// is in order with it. Other threads may go on asking for memory.
void* begin_capture() {
  void* const stream = new_stream(cudaStreamNonBlocking);
  const cudaError_t status =
      cudaStreamBeginCapture(static_cast<cudaStream_t>(stream), cudaStreamCaptureModeThreadLocal);
  if (status != cudaSuccess) cudaStreamDestroy(static_cast<cudaStream_t>(stream));
  check(status, "the begin of a capture");
  return stream;
}
void* end_capture(void* stream) {
  cudaGraph_t graph = nullptr;
  cudaError_t status = cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &graph);
  cudaGraphExec_t ready = nullptr;
  if (status == cudaSuccess) status = cudaGraphInstantiateWithFlags(&ready, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  cudaStreamDestroy(static_cast<cudaStream_t>(stream));
  check(status, "the end of a capture");
  return ready;
}
void abandon_capture(void* stream) noexcept {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &graph);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();  // that the capture failed is being said already
  cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}
void launch_graph(const Cuda& cuda, void* graph) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(cuda)), "the launch of a graph");
}
void destroy_graph(const Cuda& cuda, void* graph) noexcept {
  cudaStreamSynchronize(stream_of(cuda));
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

}  // namespace cuda
}  // namespace phonaut
