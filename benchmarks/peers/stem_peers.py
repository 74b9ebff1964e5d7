"""The waveform stem of wav2vec 2.0 in PyTorch, eager and compiled, in ONNX Runtime and in OpenVINO. See works_peers.py."""
import sys
import tempfile

import torch
import torch.nn.functional as F

from works_peers import Inputs, Peer, main, works_of


class Stem(torch.nn.Module):
    """The published one (fairseq's "default"): a group norm per channel behind the first convolution, GELU behind each."""

    def __init__(self, get):
        super().__init__()
        strides = (5, 2, 2, 2, 2, 2, 2)
        self.convs = torch.nn.ModuleList()
        for i, stride in enumerate(strides):
            weight = get(f"weight.{i}").transpose(1, 2).contiguous()  # phonaut: (out, taps, in)
            conv = torch.nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], stride, bias=False)
            conv.weight = torch.nn.Parameter(weight)
            self.convs.append(conv)
        gain = get("gain")
        self.norm = torch.nn.GroupNorm(len(gain), len(gain))
        self.norm.weight, self.norm.bias = torch.nn.Parameter(gain), torch.nn.Parameter(get("bias"))
        self.requires_grad_(False).eval()

    def forward(self, x):
        x = x[:, None]
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = F.gelu(self.norm(x) if i == 0 else x)
        return x


def frames_last(results):
    """In phonaut's order."""
    return {"y": torch.as_tensor(results["y"]).transpose(1, 2)}


def optional(make):
    """What `make` makes of a package that is here, else nothing and a word about it."""
    try:
        return make()
    except ImportError as missing:
        print(f"stem_peers: a peer is left out: there is no {missing.name}", file=sys.stderr)
        return None


def make(tensors, threads):
    folder = tempfile.TemporaryDirectory()
    eager, fast = Peer(f"PyTorch {torch.__version__}"), Peer(f"torch.compile {torch.__version__}")
    fast.folder = folder  # lives as long as the peers do
    onnx, vino, vino_bf16 = None, None, None
    onnx_there = optional(lambda: __import__("onnx") and __import__("onnxruntime"))
    vino_there = optional(lambda: __import__("openvino"))
    if onnx_there:
        onnx = Peer(f"ONNX Runtime {onnx_there.__version__}")
    if vino_there:
        name = f"OpenVINO {vino_there.__version__.split('-')[0]}"
        vino, vino_bf16 = Peer(name), Peer(f"{name} bf16")

    def in_torch(peer, work, call, x, tolerance):
        def run():
            with torch.no_grad():
                return {"y": call(x)}
        peer.add(work, run, tolerance, frames_last)

    def in_openvino(peer, work, stem, x, precision, tolerance):
        graph = vino_there.convert_model(stem, example_input=x, input=[list(x.shape)])
        request = vino_there.Core().compile_model(graph, "CPU", {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision}).create_infer_request()
        data = x.numpy()
        peer.add(work, lambda: {"y": request.infer([data], share_inputs=True, share_outputs=True)[0]}, tolerance,
                 frames_last)

    # Sums of 1536 products through seven layers, in another order; rounded to 8 bits in bf16.
    exact, rough = 1e-4, 3e-2
    for work in works_of(tensors, "stem"):
        get = Inputs(tensors, work)
        stem, x = Stem(get), get("x")
        in_torch(eager, work, stem, x, exact)
        in_torch(fast, work, torch.compile(stem, dynamic=False), x, exact)
        if onnx:
            path = f"{folder.name}/{work.replace('/', '_')}.onnx"
            torch.onnx.export(stem, (x,), path, dynamo=False, input_names=["x"])
            settings = onnx_there.SessionOptions()
            settings.intra_op_num_threads, settings.inter_op_num_threads, settings.log_severity_level = threads, 1, 3
            session = onnx_there.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
            onnx.add(work, lambda s=session, d=x.numpy(): {"y": s.run(None, {"x": d})[0]}, exact, frames_last)
        if vino:
            in_openvino(vino, work, stem, x, "f32", exact)
    for work in works_of(tensors, "stem_bf16"):
        get = Inputs(tensors, work)
        stem, x = Stem(get), get("x")
        in_torch(eager, work, stem, x, rough)  # in single precision: what a user has who asks for nothing
        if vino:
            in_openvino(vino_bf16, work, stem, x, "bf16", rough)
    return [peer for peer in (eager, fast, onnx, vino, vino_bf16) if peer]


if __name__ == "__main__":
    main(__doc__, make)
