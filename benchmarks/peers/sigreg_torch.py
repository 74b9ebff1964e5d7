"""SIGReg in PyTorch eager, as its authors' library computes it. Needs torch and numpy.

    sigreg_torch.py --check FILE     compares loss and gradient with those of `phonaut-bench-peers features FILE`
    sigreg_torch.py --threads 2      answers requests: see served.py
"""
import argparse
import sys

try:
    import torch
except ImportError as missing:
    sys.exit(f"sigreg_torch.py: {sys.executable} has no {missing.name}")

import safetensors_file
import served
from autoencoder_torch import Sigreg, random_slices


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sigreg = Sigreg()
    if args.check:
        tensors, _ = safetensors_file.read(args.check)
        x = torch.from_numpy(tensors["sigreg/x"]).double().requires_grad_()
        loss = sigreg.double()(x, torch.from_numpy(tensors["sigreg/slices"]).double())
        loss.backward()
        gradient = torch.from_numpy(tensors["sigreg/gradient"]).double()
        error = abs(loss.item() - tensors["sigreg/loss"].item()) / loss.item()
        slope = ((gradient - x.grad).norm() / x.grad.norm()).item()
        print(f"SIGReg of {tuple(x.shape)}: loss differs from phonaut's by {error:.1e}, gradient by {slope:.1e} of its norm")
        sys.exit(0 if error < 1e-5 and slope < 1e-5 else 1)  # knots by rotation: 1e-6 each, see ops/epps_pulley.hpp

    samples, dims, count = 4096, 512, 1024
    x = torch.randn(samples, dims, requires_grad=True)
    slices = random_slices(dims, count, x)

    def step():
        x.grad = None
        sigreg(x, slices).backward()
    served.serve({"sigreg": [step]}, about={"peer": f"PyTorch {torch.__version__}"})


if __name__ == "__main__":
    main()
