#!/usr/bin/env python3
"""The published Zipformer encoder in PyTorch, eager and compiled, in ONNX Runtime and in OpenVINO: phonaut's peers.

    ICEFALL_ZIPFORMER=FOLDER zipformer_peers.py export   MODEL PROOF   weights, and outputs and gradients for a check
    ICEFALL_ZIPFORMER=FOLDER zipformer_peers.py torch    MODEL …       answers requests: served.py
    ICEFALL_ZIPFORMER=FOLDER zipformer_peers.py compile  MODEL …       the same with torch.compile, training on a GPU only
    ICEFALL_ZIPFORMER=FOLDER zipformer_peers.py onnx     MODEL …       the same with ONNX Runtime
    ICEFALL_ZIPFORMER=FOLDER zipformer_peers.py openvino MODEL …       the same with OpenVINO, in --precision fp32 or bf16
    ICEFALL_ZIPFORMER=FOLDER zipformer_peers.py memory   MODEL …       MB that a training step needs, for each case

FOLDER is egs/librispeech/ASR/zipformer of an icefall checkout; k2 and lhotse are not needed. The model is timed as it is,
without dropout and without what the recipe does to gradients: phonaut's side leaves out the same.
"""
import argparse
import contextlib
import ctypes
import gc
import importlib
import logging
import os
import sys
import tempfile
import types
import warnings

import numpy as np

logging.disable(logging.WARNING)  # of the peers' modules, about what they did not find
import torch
from torch.utils.flop_counter import FlopCounterMode

import safetensors_file
import torch_device
from served import serve

SIZES = {  # layers, widths, feed-forward widths, unmasked widths of the six stacks
    "S": ((2, 2, 2, 2, 2, 2), (192, 256, 256, 256, 256, 256), (512, 768, 768, 768, 768, 768), (192,) * 6),
    "M": ((2, 2, 3, 4, 3, 2), (192, 256, 384, 512, 384, 256), (512, 768, 1024, 1536, 1024, 768),
          (192, 192, 256, 256, 256, 192)),
    "L": ((2, 2, 4, 5, 4, 2), (192, 256, 512, 768, 512, 256), (512, 768, 1536, 2048, 1536, 768),
          (192, 192, 256, 320, 256, 192)),
}
BANDS, CHUNK, LEFT = 80, 32, 128
# The published module, prepared for export, has positions for 2000 frames at half of this rate.
EXPORTED_FRAMES = 4000


def swooshes():
    """What the modules ask k2 for: two activations, and their derivatives by hand as k2 has them."""
    def value(x, shift, offset):
        return torch.nn.functional.softplus(x - shift) - 0.08 * x - offset

    class Swoosh(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, shift, offset):
            ctx.save_for_backward(x)
            ctx.shift = shift
            return value(x, shift, offset)

        @staticmethod
        def backward(ctx, slope):
            (x,) = ctx.saved_tensors
            return slope * (torch.sigmoid(x - ctx.shift) - 0.08), None, None

    k2 = types.ModuleType("k2")
    for name, shift, offset in (("swoosh_l", 4.0, 0.035), ("swoosh_r", 1.0, 0.313261687)):
        setattr(k2, name, lambda x, s=shift, o=offset: Swoosh.apply(x, s, o))
        setattr(k2, f"{name}_forward", lambda x, s=shift, o=offset: value(x, s, o))
        setattr(k2, f"{name}_forward_and_deriv",
                lambda x, s=shift, o=offset: (value(x, s, o), torch.sigmoid(x - s) - 0.08))
    return k2


def published_modules():
    folder = os.environ.get("ICEFALL_ZIPFORMER", "")
    if not os.path.isfile(os.path.join(folder, "zipformer.py")):
        sys.exit(f"ICEFALL_ZIPFORMER is '{folder}', where there is no zipformer.py")
    warnings.simplefilter("ignore")
    sys.modules["k2"] = swooshes()
    icefall, utils = types.ModuleType("icefall"), types.ModuleType("icefall.utils")
    utils.torch_autocast = lambda *_, **__: contextlib.nullcontext()
    icefall.utils = utils
    sys.modules["icefall"], sys.modules["icefall.utils"] = icefall, utils
    sys.path.insert(0, folder)
    return [importlib.import_module(name) for name in ("zipformer", "subsampling", "scaling")]


class Encoder(torch.nn.Module):
    """Features (N, T, 80) to encoder frames (N, T'', C), under the names that checkpoints have."""

    def __init__(self, size, causal):
        super().__init__()
        zipformer, subsampling, scaling = published_modules()
        layers, dims, feedforward, unmasked = SIZES[size]
        chunks = dict(chunk_size=(CHUNK,), left_context_frames=(LEFT,)) if causal else {}
        torch.manual_seed(1)
        self.encoder_embed = subsampling.Conv2dSubsampling(BANDS, dims[0])
        self.encoder = zipformer.Zipformer2(
            output_downsampling_factor=2, downsampling_factor=(1, 2, 4, 8, 4, 2), encoder_dim=dims,
            num_encoder_layers=layers, encoder_unmasked_dim=unmasked, query_head_dim=(32,), pos_head_dim=(4,),
            value_head_dim=(12,), pos_dim=48, num_heads=(4, 4, 4, 8, 4, 4), feedforward_dim=feedforward,
            cnn_module_kernel=(31, 31, 15, 15, 15, 31), causal=causal, **chunks)
        self.causal = causal
        self.eval()
        for module in self.modules():
            if isinstance(module, (scaling.Balancer, scaling.Whiten)):
                module.forward = lambda x: x

    def forward(self, x):
        lengths = torch.full((x.shape[0],), x.shape[1], dtype=torch.int64)
        y, lengths = self.encoder_embed(x, lengths)
        padding = torch.zeros(y.shape[:2], dtype=torch.bool)
        y, _ = self.encoder(y.permute(1, 0, 2), lengths, padding)
        return y.permute(1, 0, 2)

    def start(self):
        """States of one stream: those of the layers, of the stem, and the number of frames so far."""
        return [*self.encoder.get_init_states(1), self.encoder_embed.get_init_states(1), torch.zeros(1, dtype=torch.int64)]

    def step(self, x, *states):
        """The next 2·CHUNK + 13 features, 13 of which come again with the next step."""
        y, lengths, stem = self.encoder_embed.streaming_forward(x, torch.tensor([x.shape[1]]), states[-2])
        unknown = (states[-1].unsqueeze(1) <= torch.arange(LEFT).unsqueeze(0)).flip(1)
        mask = torch.cat([unknown, torch.zeros(1, CHUNK, dtype=torch.bool)], 1)
        y, _, layers = self.encoder.streaming_forward(y.permute(1, 0, 2), lengths, list(states[:-2]), mask)
        return (y.permute(1, 0, 2), *layers, stem, states[-1] + CHUNK)


def normal(*shape, seed):
    """The same numbers on every device."""
    numbers = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
    return numbers.to(torch.get_default_device())


def load_model(options):
    model = Encoder(options.size, options.causal)
    tensors, _ = safetensors_file.read(options.model)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()})
    return model


def export(options):
    model = Encoder(options.size, options.causal)
    with torch.no_grad():  # a fresh model has biases of zero and twins of layers, which would hide faults
        for i, p in enumerate(model.parameters()):
            p += 0.02 * normal(*p.shape, seed=100 + i)
    safetensors_file.write(options.model, {name: p.detach().cpu().numpy() for name, p in model.state_dict().items()})
    features = normal(2, 413, BANDS, seed=1)
    output = model(features)
    weights = normal(*output.shape, seed=2)
    (output * weights).sum().backward()
    proof = {"features": features, "weights": weights, "output": output.detach()}
    proof |= {f"gradient/{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    if options.causal:
        sound, states, pieces = normal(1, 13 + 8 * CHUNK, BANDS, seed=3), model.start(), []
        with torch.no_grad():
            for i in range(4):
                piece, *states = model.step(sound[:, 2 * CHUNK * i:2 * CHUNK * (i + 1) + 13], *states)
                pieces.append(piece)
        proof |= {"stream/features": sound, "stream/output": torch.cat(pieces, 1)}
    safetensors_file.write(options.proof, {name: values.cpu().numpy() for name, values in proof.items()})


# ---- what is timed ----

def torch_work(model, cases):
    work = {}
    for frames, batch in cases:
        x = normal(batch, frames, BANDS, seed=1)
        with torch.no_grad():
            weights = normal(*model(x).shape, seed=2)

        def forward(x=x):
            with torch.no_grad():
                model(x)

        def train(x=x, weights=weights):
            model.zero_grad(set_to_none=True)
            (model(x) * weights).sum().backward()

        work[f"forward/{frames}x{batch}"], work[f"train/{frames}x{batch}"] = [forward], [train]
    if model.causal:
        x, states = normal(1, 2 * CHUNK + 13, BANDS, seed=4), model.start()

        def stream():
            nonlocal states
            with torch.no_grad():
                _, *states = model.step(x, *states)

        work["stream"] = [stream]
    return work


def operations(call):
    """Multiplications and additions of the matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def export_onnx(module, inputs, names, path):
    with torch.no_grad():
        traced = torch.jit.trace(module, inputs, check_trace=False)
        torch.onnx.export(traced, inputs, path, opset_version=13, dynamo=False, input_names=names,
                          dynamic_axes={names[0]: {0: "N", 1: "T"}} if len(names) == 1 else None)


def onnx_engine(path, inputs, options):
    """(names of the inputs that the graph has, function from inputs by name to its list of results)."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads, settings.log_severity_level = options.threads, 1, 3
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return [i.name for i in session.get_inputs()], lambda inputs: session.run(None, inputs)


def openvino_engine(path, inputs, options):
    """The same. Shapes are fixed, which OpenVINO likes better."""
    import openvino

    core = openvino.Core()
    graph = core.read_model(path)
    names = [i.any_name for i in graph.inputs]
    graph.reshape({name: list(inputs[name].shape) for name in names})
    request = core.compile_model(graph, "CPU", {
        "INFERENCE_NUM_THREADS": options.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[options.precision]}).create_infer_request()
    return names, lambda inputs: list(request.infer(inputs, share_inputs=True).values())


class Step(torch.nn.Module):
    """`Encoder.step` as a module of its own, for the export."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, *states):
        return self.model.step(x, *states)


def compiled_work(model, cases, training):
    """Shapes are fixed. What is compiled is held against eager before it is timed."""
    torch._dynamo.config.cache_size_limit = 1000  # the modules draw numbers, each of which is a version of its own
    work = {}

    def add(name, call, *inputs):
        fast = torch.compile(call, dynamic=False)

        def forward():
            with torch.no_grad():
                return fast(*inputs)

        with torch.no_grad():
            same(first_of(forward()).cpu().numpy(), first_of(call(*inputs)), name, "torch.compile", 1e-3)
        work[name] = [forward]

    def add_training(name, x):
        fast = torch.compile(model, dynamic=False)
        with torch.no_grad():
            weights = normal(*model(x).shape, seed=2)

        def train(call=fast):
            model.zero_grad(set_to_none=True)
            (call(x) * weights).sum().backward()

        def slopes(call):
            train(call)
            return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

        torch_device.same(slopes(fast), slopes(model), f"the gradient of {name}", 1e-3)
        work[name] = [train]

    if model.causal:
        add("stream", model.step, normal(1, 2 * CHUNK + 13, BANDS, seed=4), *model.start())
        return work
    for frames, batch in cases:
        x = normal(batch, frames, BANDS, seed=1)
        add(f"forward/{frames}x{batch}", model, x)
        if training:
            add_training(f"train/{frames}x{batch}", x)
    return work


def first_of(results):
    return results if isinstance(results, torch.Tensor) else results[0]


def same(ours, theirs, what, engine, tolerance):
    worst = np.abs(ours - theirs.cpu().numpy()).max() / theirs.abs().max().item()
    if not worst < tolerance:
        sys.exit(f"{engine}: {what} differs from PyTorch's by {worst:.1e} of the largest number")


def graph_work(model, options, folder, engine, name):
    """Of an engine that runs ONNX graphs. Its numbers are held against PyTorch's before they are timed."""
    scaling, converter = importlib.import_module("scaling"), importlib.import_module("scaling_converter")
    # A step always has the same sizes, so nothing in it depends on them; the whole pass has any.
    converter.convert_scaled_to_non_scaled(model, inplace=True, is_onnx=not model.causal)
    for module in list(model.modules()):
        for child_name, child in list(module.named_children()):
            if isinstance(child, (scaling.SwooshL, scaling.SwooshR)):
                setattr(module, child_name, getattr(scaling, f"{type(child).__name__}Onnx")())
    work = {}
    # Single precision in another order; bfloat16 has 8 bits, and errors of a few layers add up.
    tolerance = 1e-3 if options.precision == "fp32" else 0.1

    if model.causal:
        x, states = normal(1, 2 * CHUNK + 13, BANDS, seed=4), model.start()
        inputs = {"x": x.numpy(), **{f"state{i}": s.numpy() for i, s in enumerate(states)}}
        path = f"{folder}/step.onnx"
        export_onnx(Step(model), (x, *states), list(inputs), path)
        names, run = engine(path, inputs, options)
        inputs = {name: inputs[name] for name in names}
        with torch.no_grad():
            _, *states = model.step(x, *states)
            expected, *_ = model.step(x, *states)

        def stream():
            y, *found = run(inputs)
            inputs.update({f"state{i}": s for i, s in enumerate(found) if f"state{i}" in inputs})
            return y

        stream()
        same(stream(), expected, "a step of a stream", name, tolerance)
        work["stream"] = [stream]
        return work  # its graph of the whole pass leaves out the chunks
    path = f"{folder}/encoder.onnx"
    export_onnx(model, (normal(1, 301, BANDS, seed=1),), ["x"], path)
    for frames, batch in options.cases:
        if frames > EXPORTED_FRAMES:
            print(f"left out: {frames}x{batch}, for which the exported module has no positions", file=sys.stderr)
            continue
        x = normal(batch, frames, BANDS, seed=1)
        inputs = {"x": x.numpy()}
        _, run = engine(path, inputs, options)
        with torch.no_grad():
            same(run(inputs)[0], model(x), f"{frames}x{batch}", name, tolerance)
        work[f"forward/{frames}x{batch}"] = [lambda run=run, inputs=inputs: run(inputs)]
    return work


def status_megabytes(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(f"{key}:"))


def gpu_memory(train):
    """MB that two training steps need of the GPU at their peak."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    train(), train()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def memory(model, cases):
    """What training steps need at their peak beyond what was there before the first one."""
    for frames, batch in cases:
        x = normal(batch, frames, BANDS, seed=1)
        with torch.no_grad():
            weights = normal(*model(x).shape, seed=2)

        def train():
            model.zero_grad(set_to_none=True)
            (model(x) * weights).sum().backward()

        gc.collect()
        if x.is_cuda:
            print(f"{gpu_memory(train):.1f}", flush=True)
            continue
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # forgets the peak so far
        before = status_megabytes("VmRSS")
        train(), train()
        print(f"{status_megabytes('VmHWM') - before:.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["export", "torch", "compile", "onnx", "openvino", "memory"])
    parser.add_argument("model")
    parser.add_argument("proof", nargs="?")
    parser.add_argument("--size", default="M", choices=SIZES)
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="of OpenVINO's products")
    parser.add_argument("--cases", default="1000x1,1000x8", help="features x utterances, …",
                        type=lambda text: [tuple(map(int, case.split("x"))) for case in text.split(",") if case])
    torch_device.add_option(parser)
    options = parser.parse_args()
    torch.set_num_interop_threads(1)
    torch_device.use(options.device, options.threads)
    wait = torch_device.wait_for(options.device)
    if options.command == "export":
        return export(options)
    model = load_model(options)
    if options.command == "memory":
        return memory(model, options.cases)
    about = {"peer": f"PyTorch {torch.__version__}", "parameters": sum(p.numel() for p in model.parameters())}
    if options.command == "torch":
        work = torch_work(model, options.cases)
        # Not of training: PyTorch counts the backward of a depthwise convolution as if every channel saw all others.
        flops = {name: operations(calls[0]) for name, calls in work.items() if not name.startswith("train/")}
        return serve(work, {**about, "flops": flops}, wait)
    if options.command == "compile":
        work = compiled_work(model, options.cases, training=options.device != "cpu")
        return serve(work, {**about, "peer": f"torch.compile {torch.__version__}"}, wait)
    with tempfile.TemporaryDirectory() as folder:
        if options.command == "onnx":
            import onnxruntime
            name, engine = f"ONNX Runtime {onnxruntime.__version__}", onnx_engine
        else:
            import openvino
            version = openvino.__version__.split("-")[0]
            name, engine = f"OpenVINO {version}{'' if options.precision == 'fp32' else ' bf16'}", openvino_engine
        serve(graph_work(model, options, folder, engine, name), {**about, "peer": name})


main()
