"""Where the PyTorch side of a comparison works: on the processor, or on the GPU that CUDA shows first (comparison.py chooses
which one that is). Needs torch."""
import sys

import torch


def add_option(parser):
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])


def use(device, threads=1):
    """From now on tensors are made there. On a GPU, products and convolutions in single precision are that throughout, as
    phonaut's are unless it is told otherwise."""
    torch.set_num_threads(threads)
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        sys.exit("no GPU here: PyTorch sees none")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_default_device(device)


def wait_for(device):
    """What `served.serve` calls at either end of a measurement; None where calls end when they return."""
    return torch.cuda.synchronize if device == "cuda" else None


def same(got, want, what, tolerance):
    """Ends the program unless a compiled result is the eager one, but for rounding."""
    error = ((got.double() - want.double()).norm() / want.double().norm().clamp(min=1e-30)).item()
    if not error < tolerance:
        sys.exit(f"torch.compile: {what} differs from PyTorch eager's by {error:.1e}")
