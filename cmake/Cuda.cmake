# phonaut_cuda: the CUDA backend, where a toolkit is found.
