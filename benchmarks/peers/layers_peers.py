"""Layers as published Python code computes them. See works_peers.py."""
import torch
import torch.nn.functional as F

from works_peers import Inputs, Peer, forward_backward, main, works_of


def swoosh_l(x):
    """icefall's, without the autograd function that keeps slopes in bytes."""
    return torch.logaddexp(torch.zeros((), dtype=x.dtype), x - 4.0) - 0.08 * x - 0.035


def swoosh_r(x):
    return torch.logaddexp(torch.zeros((), dtype=x.dtype), x - 1.0) - 0.08 * x - 0.313261687


@torch.jit.script
def snake(x, alpha):
    """The Descript audio codec's, which is scripted; channels second."""
    shape = x.shape
    x = x.reshape(shape[0], shape[1], -1)
    x = x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).pow(2)
    return x.reshape(shape)


def bias_norm(x, bias, log_scale):
    """icefall's formula."""
    return x * ((x - bias).square().mean(-1, keepdim=True) ** -0.5 * log_scale.exp())


def channels_second(x):
    return x.transpose(1, 2).contiguous()


def channels_last(results):
    """In phonaut's order."""
    return {name: value.transpose(1, 2) if name in ("y", "gradient.x") else value for name, value in results.items()}


def make(tensors, _):
    eager = Peer(f"PyTorch {torch.__version__}")

    def add(kind, formula, *weights):
        for work in works_of(tensors, kind):
            get = Inputs(tensors, work)
            leaves = {name: get.leaf(name) for name in ("x", *weights)}
            eager.add(work, forward_backward(lambda leaves=leaves: formula(*leaves.values()), leaves, get("dy")),
                      tolerance=2e-5)
    add("swoosh_l", swoosh_l)
    add("swoosh_r", swoosh_r)
    add("glu", F.glu)
    add("bias_norm", bias_norm, "bias", "log_scale")
    add("layer_norm", lambda x, gain, bias: F.layer_norm(x, gain.shape, gain, bias), "gain", "bias")

    for work in works_of(tensors, "snake"):
        get = Inputs(tensors, work)
        leaves = {"x": channels_second(get("x")).requires_grad_(), "alpha": get.leaf("alpha", 1, -1, 1)}
        step = forward_backward(lambda v=leaves: snake(v["x"], v["alpha"]), leaves, channels_second(get("dy")))
        eager.add(work, step, tolerance=2e-5, results=channels_last)

    for taps in (15, 31):
        for work in works_of(tensors, f"depthwise_{taps}"):
            get = Inputs(tensors, work)
            leaves = {"x": channels_second(get("x")).requires_grad_(), "weight": get.leaf("weight"), "bias": get.leaf("bias")}

            def forward(v=leaves, taps=taps):
                return F.conv1d(v["x"], v["weight"], v["bias"], padding=taps // 2, groups=len(v["bias"]))
            step = forward_backward(forward, leaves, channels_second(get("dy")))
            eager.add(work, step, tolerance=2e-5, results=channels_last)

            def inferred(forward=forward):
                with torch.inference_mode():
                    forward()
                return {}
            eager.add(work.replace("/", "_forward/"), inferred)
    return [eager]


if __name__ == "__main__":
    main(__doc__, make)
