"""SIGReg in PyTorch eager, as its authors' library computes it; on a GPU compiled too. Needs torch and numpy.

    sigreg_torch.py --check FILE     compares loss and gradient with those of `phonaut-bench-peers features FILE`
    sigreg_torch.py --threads 2      answers requests: see served.py

Also: --device cuda.
"""
import argparse
import sys

try:
    import torch
except ImportError as missing:
    sys.exit(f"sigreg_torch.py: {sys.executable} has no {missing.name}")

import safetensors_file
import served
import torch_device
from autoencoder_torch import Sigreg, random_slices


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check")
    torch_device.add_option(parser)
    args = parser.parse_args()
    torch_device.use(args.device, args.threads)
    sigreg = Sigreg().to(args.device)
    if args.check:
        tensors, _ = safetensors_file.read(args.check)
        def exact(name):
            return torch.from_numpy(tensors[f"sigreg/{name}"]).to(args.device).double()
        x = exact("x").requires_grad_()
        loss = sigreg.double()(x, exact("slices"))
        loss.backward()
        gradient = exact("gradient")
        error = abs(loss.item() - tensors["sigreg/loss"].item()) / loss.item()
        slope = ((gradient - x.grad).norm() / x.grad.norm()).item()
        print(f"SIGReg of {tuple(x.shape)}: loss differs from phonaut's by {error:.1e}, gradient by {slope:.1e} of its norm")
        sys.exit(0 if error < 1e-5 and slope < 1e-5 else 1)  # knots by rotation: 1e-6 each, see ops/epps_pulley.hpp

    samples, dims, count = 4096, 512, 1024
    x = torch.randn(samples, dims, requires_grad=True)
    slices = random_slices(dims, count, x)

    def step_of(loss):
        def step():
            x.grad = None
            value = loss(x, slices)
            value.backward()
            return value
        return step
    work, names = {"sigreg": [step_of(sigreg)]}, {"sigreg": f"PyTorch {torch.__version__}"}
    if args.device == "cuda":
        fast = step_of(torch.compile(sigreg, dynamic=False))
        want, slope = work["sigreg"][0]().detach(), x.grad
        torch_device.same(fast().detach(), want, "the loss", 1e-4)  # single precision, in another order
        torch_device.same(x.grad, slope, "the gradient", 1e-4)
        work["compiled"], names["compiled"] = [fast], f"torch.compile {torch.__version__}"
    served.serve(work, about={"peer": names["sigreg"], "names": names}, wait=torch_device.wait_for(args.device))


if __name__ == "__main__":
    main()
