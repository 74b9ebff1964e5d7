"""What the peers' sides of phonaut-bench-quantizers, -losses and -layers share. Needs torch and numpy.

    NAME_peers.py FILE --check          are these the results of phonaut? FILE is what its program exported
    NAME_peers.py FILE --threads 2      answers requests: see served.py

Also: --device cuda, and --only WORK… for works whose names begin so. Each peer starts from the inputs in FILE. A `Peer` knows
works by the names of phonaut's, as functions that return their results by name; these are held against FILE's, and are what
is timed.
"""
import argparse
import sys

try:
    import numpy as np
    import torch
except ImportError as missing:
    sys.exit(f"works_peers.py: {sys.executable} has no {missing.name}")

import safetensors_file
import served
import torch_device


class Peer:
    def __init__(self, name):
        self.name, self.works, self.results, self.tolerance = name, {}, {}, {}

    def add(self, work, call, tolerance=1e-5, results=lambda values: values):
        """`call` is timed; `results` makes of what it returns what is compared. `tolerance`: of each result that is not
        made of codes, relative to its norm."""
        self.works[work], self.results[work], self.tolerance[work] = call, results, tolerance


class Inputs:
    """The tensors of one work."""

    def __init__(self, tensors, work):
        self._tensors, self._work = tensors, work

    def __call__(self, name):
        return torch.from_numpy(self._tensors[f"{self._work}/{name}"]).to(torch.get_default_device())

    def leaf(self, name, *shape):
        """One whose gradient is wanted."""
        x = self(name)
        return (x.reshape(shape) if shape else x).contiguous().requires_grad_()


def works_of(tensors, kind):
    """Names `kind/…` (or `kind` itself) of works in the file."""
    names = {key.rpartition("/")[0] for key in tensors}
    return sorted(name for name in names if name == kind or name.startswith(kind + "/"))


def compare(got, want, tolerance):
    """(is it near enough, what to say). Codes may differ where two entries are equally near but for a rounding."""
    got = np.asarray(got.detach().cpu().numpy() if isinstance(got, torch.Tensor) else got)
    if np.issubdtype(want.dtype, np.integer):
        share = (got.reshape(want.shape) != want).mean()
        return share <= 1e-3, f"{share:.1e} of the codes differ"
    got = got.reshape(-1, *want.shape[1:])[:len(want)] if want.ndim else got  # phonaut may have kept the first rows
    error = np.linalg.norm(got.astype(np.float64) - want) / max(np.linalg.norm(want), 1e-30)
    return error <= tolerance, f"differs by {error:.1e}"


def check(peers, tensors, only):
    good = True
    for peer in peers:
        for work, call in peer.works.items():
            if not work.startswith(only):
                continue
            for result, got in peer.results[work](call()).items():
                near, text = compare(got, tensors[f"{work}/{result}"], peer.tolerance[work])
                good &= near
                print(f"{work} of {peer.name}: {result} {text}{'' if near else '  <- too much'}")
    return good


def main(description, make):
    """`make(tensors, threads)` returns peers; one that cannot be imported is its to leave out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""])
    torch_device.add_option(parser)
    args = parser.parse_args()
    torch_device.use(args.device, args.threads)
    tensors, _ = safetensors_file.read(args.file)
    peers = make(tensors, args.threads)
    if args.check:
        sys.exit(0 if check(peers, tensors, tuple(args.only)) else 1)
    every = [(work, f"{i}:{work}", peer.name, call) for i, peer in enumerate(peers) for work, call in peer.works.items()]
    served.serve({name: [call] for _, name, _, call in every},
                 about={"peer": ", ".join(peer.name for peer in peers), "rows": [row[:3] for row in every]},
                 wait=torch_device.wait_for(args.device))


def forward_backward(forward, leaves, dy=None):
    """A step: forward, backward (from dy, or from a scalar), gradients as results."""
    def step():
        for leaf in leaves.values():
            leaf.grad = None
        y = forward()
        if dy is None:
            y.backward()
        else:
            y.backward(dy)
        return {"loss" if dy is None else "y": y, **{f"gradient.{name}": leaf.grad for name, leaf in leaves.items()}}
    return step
