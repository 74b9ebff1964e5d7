"""What an op costs in PyTorch eager: chains of additions. See works_peers.py."""
import torch

from works_peers import Inputs, Peer, forward_backward, main

LINKS = 100


def chain(y, a):
    for _ in range(LINKS):
        y = y + a
    return y


def make(tensors, _):
    eager = Peer(f"PyTorch {torch.__version__}")
    get = Inputs(tensors, "infer")
    x, a = get("x"), get("a")

    def infer():
        with torch.inference_mode():
            return {"y": chain(x, a)}
    # Sums of a hundred numbers, added in the same order; gradients of one of them are such sums too.
    eager.add("infer", infer, tolerance=1e-6)
    get = Inputs(tensors, "train")
    leaves = {"x": get.leaf("x"), "a": get.leaf("a")}
    eager.add("train", forward_backward(lambda: chain(**{"y": leaves["x"], "a": leaves["a"]}), leaves, get("dy")),
              tolerance=1e-5)
    return [eager]


if __name__ == "__main__":
    main(__doc__, make)
