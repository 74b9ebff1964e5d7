"""Filterbanks of kaldi-native-fbank and torchaudio, to be timed beside phonaut's. Needs numpy, and either of the two.

    frontends_peers.py --features FILE     compares features with those of `phonaut-bench-peers features FILE`
    frontends_peers.py --threads 2         answers requests: see served.py

With --device cuda the peer is PyTorch alone, eager and compiled.
"""
import argparse
import sys

try:
    import numpy as np
except ImportError as missing:
    sys.exit(f"frontends_peers.py: {sys.executable} has no {missing.name}")

import safetensors_file
import served


def signal(samples):
    """The signal of benchmarks/peers.cpp."""
    state, noise = 1, np.empty(samples)
    for i in range(samples):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        noise[i] = (state >> 8) / (1 << 23) - 1
    swell = 0.5 - 0.5 * np.cos((np.arange(samples) % 16000) * (2 * np.pi / 16000))
    return (swell * noise).astype(np.float32)


def kaldi_native(x):
    """kaldi-native-fbank takes a Python list (or an array, number by number): `kaldi_native_copy` only hands one over,
    so that a comparison can subtract what that costs."""
    import kaldi_native_fbank as knf
    samples = (32768 * x).tolist()
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    raw = knf.RawAudioSamplesOptions()

    def features():
        fbank = knf.OnlineFbank(options)
        fbank.accept_waveform(16000, samples)
        fbank.input_finished()
        return fbank

    def copied():
        knf.OnlineRawAudioSamples(raw).accept_waveform(16000, samples)

    def frames():
        fbank = features()
        return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])
    return {"kaldi_native": features, "kaldi_native_copy": copied}, {"fbank": frames}, f"kaldi-native-fbank {knf.__version__}"


def torchaudio_ones(x, threads):
    import torch
    # torchaudio refuses a PyTorch that was built for another CUDA; nothing here runs on a GPU.
    torch.version.cuda = None
    import torchaudio
    from torchaudio.compliance import kaldi
    torch.set_num_threads(threads)
    samples = torch.from_numpy(x)[None]
    loud = 32768 * samples
    transform = torchaudio.transforms.MelSpectrogram(16000, n_fft=400, hop_length=160, n_mels=80)

    def fbank():
        with torch.inference_mode():
            return kaldi.fbank(loud, num_mel_bins=80, dither=0, sample_frequency=16000, energy_floor=1)

    def log_mel():
        with torch.inference_mode():
            return transform(samples).clamp(min=1e-6).log()[0].T
    return ({"torchaudio_fbank": fbank, "torchaudio_log_mel": log_mel},
            {"fbank": lambda: fbank().numpy(), "log_mel": lambda: log_mel().numpy()}, f"torchaudio {torchaudio.__version__}")


def htk_bands(rate, n_fft, count):
    """Triangles on the mel scale of HTK, as torchaudio has them: (bins, bands)."""
    def hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)
    corners = hertz(np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), count + 2))
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)[:, None]
    up = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    down = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(up, down)).astype(np.float32)


def torch_ones(x, device):
    """torchaudio's log-mel in PyTorch itself, so that a GPU needs no build of torchaudio for it."""
    import torch
    import torch_device
    torch_device.use(device)
    samples = torch.from_numpy(x)[None].to(device)
    window, bands = torch.hann_window(400), torch.from_numpy(htk_bands(16000, 400, 80)).to(device)

    def features(samples):
        spectrum = torch.stft(samples, 400, 160, window=window, center=True, pad_mode="reflect", return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1)
        return (power.transpose(1, 2) @ bands).clamp(min=1e-6).log()[0]
    fast = torch.compile(features, dynamic=False)

    def inferred(call):
        def run():
            with torch.inference_mode():
                return call(samples)
        return run
    works = {"torch_log_mel": inferred(features), "compiled_log_mel": inferred(fast)}
    return (works, {"log_mel": lambda: works["torch_log_mel"]().cpu().numpy(),
                    "log_mel of torch.compile": lambda: works["compiled_log_mel"]().cpu().numpy()},
            f"PyTorch {torch.__version__}")


def present(x, threads, device):
    """(works, features, names) of each package that can be imported; the others are mentioned on standard error."""
    if device != "cpu":
        yield torch_ones(x, device)
        return
    for make in (lambda: kaldi_native(x), lambda: torchaudio_ones(x, threads)):
        try:
            yield make()
        except Exception as error:  # an import may fail in more ways than ImportError
            print(f"frontends_peers: a peer is left out: {type(error).__name__}: {error}", file=sys.stderr)


def check(file, device):
    tensors, _ = safetensors_file.read(file)
    good = True
    for _, features, name in present(signal(4 * 16000), 1, device):
        for kind, make in features.items():
            got, want = make().astype(np.float64), tensors[kind.split()[0]].astype(np.float64)
            if got.shape != want.shape:
                print(f"{name} {kind}: {got.shape}, but phonaut has {want.shape}")
                good = False
                continue
            error = np.abs(got - want)
            print(f"{name} {kind} {got.shape}: differs from phonaut's by {error.mean():.1e} on average, {error.max():.1e} at most")
            # Logarithms; single-precision transforms and tables of either side.
            good &= error.mean() < 1e-4 and error.max() < 2e-3
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--features", help="compare with this file, then end")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    if args.features:
        sys.exit(0 if check(args.features, args.device) else 1)
    work, names = {}, []
    for works, _, name in present(signal(60 * 16000), args.threads, args.device):
        work |= {key: [call] for key, call in works.items()}
        names.append(name)
    wait = None
    if args.device != "cpu":
        import torch_device
        wait = torch_device.wait_for(args.device)
    served.serve(work, about={"peer": ", ".join(names)}, wait=wait)


if __name__ == "__main__":
    main()
