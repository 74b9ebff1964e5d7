"""Losses as published Python code computes them. See works_peers.py."""
import math

import torch
import torch.nn.functional as F

from works_peers import Inputs, Peer, forward_backward, main, works_of


def wav2vec2(c, q, choice, temperature=0.1):
    """As fairseq computes it: the targets gathered, their cosines taken with what was predicted, negatives that equal the
    positive masked, cross-entropy summed. c, q (M, C); choice (M, K + 1): the positive, then the negatives."""
    targets = q.index_select(0, choice.reshape(-1)).view(*choice.shape, -1)
    copies = (targets[:, 1:] == targets[:, :1]).all(-1)
    logits = torch.cosine_similarity(c[:, None], targets, dim=-1) / temperature
    if copies.any():
        logits[:, 1:][copies] = float("-inf")
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long), reduction="sum")


def cpc(c, z, w, negatives):
    """As the CPC code of Rivière et al. computes it: the same negatives for all steps, scores as means over channels."""
    batch, time, _ = c.shape
    steps, dims, _ = w.shape
    window = time - steps
    others = z.reshape(-1, dims)[negatives.reshape(-1)].view(batch, window, -1, dims)
    labels = torch.zeros(batch * window, dtype=torch.long)
    losses = []
    for k in range(steps):
        candidates = torch.cat([z[:, k + 1:k + 1 + window, None], others], 2)
        predicted = F.linear(c[:, :window], w[k])[:, :, None]
        scores = (predicted * candidates).mean(-1)
        losses.append(F.cross_entropy(scores.flatten(0, 1), labels))
    return torch.stack(losses).mean()


def slaney(frequency):
    linear = frequency / (200 / 3)
    return torch.where(frequency < 1000, linear, 15 + (frequency.clamp(min=1e-9) / 1000).log() * 27 / math.log(6.4))


def from_slaney(mel):
    return torch.where(mel < 15, mel * 200 / 3, 1000 * ((mel - 15) * math.log(6.4) / 27).exp())


def htk(frequency):
    return 2595 * (1 + frequency / 700).log10()


def from_htk(mel):
    return 700 * (10 ** (mel / 2595) - 1)


def triangles(rate, n_fft, bands, to_mel, from_mel, area_norm):
    """(bands, bins): triangles in Hz, as librosa and torchaudio have them."""
    edge = to_mel(torch.tensor([0.0, rate / 2], dtype=torch.float64))
    hz = from_mel(torch.linspace(edge[0], edge[1], bands + 2, dtype=torch.float64))
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    up = (bins - hz[:-2, None]) / (hz[1:-1] - hz[:-2])[:, None]
    down = (hz[2:, None] - bins) / (hz[2:] - hz[1:-1])[:, None]
    filters = torch.minimum(up, down).clamp(min=0)
    if area_norm:
        filters = filters * (2 / (hz[2:] - hz[:-2]))[:, None]
    return filters.float()


class DacMel:
    """Mel magnitudes of windows 32 … 2048, as the Descript audio codec compares them."""

    def __init__(self, rate):
        sizes = zip([32, 64, 128, 256, 512, 1024, 2048], [5, 10, 20, 40, 80, 160, 320])
        self.scales = [(n, torch.hann_window(n), triangles(rate, n, bands, slaney, from_slaney, True)) for n, bands in sizes]

    def __call__(self, x, y):
        total = 0
        for n, window, filters in self.scales:
            def log_mel(v):
                magnitude = torch.stft(v, n, n // 4, n, window, return_complex=True).abs()
                return (filters @ magnitude).clamp(1e-5).log10()
            total = total + F.l1_loss(log_mel(x), log_mel(y))
        return total


class EncodecMel:
    """Mel power spectra of windows 32 … 2048, as EnCodec compares them."""

    def __init__(self, rate):
        self.scales = [(n, torch.hann_window(n), triangles(rate, n, 64, htk, from_htk, False), math.sqrt(n - 1))
                       for n in (2 ** i for i in range(5, 12))]
        self.weight = sum(1 + alpha for *_, alpha in self.scales)

    def __call__(self, x, y):
        total = 0
        for n, window, filters, alpha in self.scales:
            hop = n // 4
            scale = window.square().sum().rsqrt()

            def mel(v):
                side = (n - hop) // 2
                v = F.pad(v[:, None], (side, side), "reflect")[:, 0]
                v = F.pad(v, (0, -(v.shape[-1] - n) % hop))
                spectrum = torch.stft(v, n, hop, n, window, center=False, return_complex=True) * scale
                return filters @ spectrum.abs().square()
            a, b = mel(x), mel(y)
            total = total + F.l1_loss(a, b) + alpha * F.mse_loss((1e-5 + a).log10(), (1e-5 + b).log10())
        return total / self.weight


class MrStft:
    """As auraloss computes it, with its defaults."""

    def __init__(self):
        self.scales = [(n, hop, length, torch.hann_window(length)) for n, hop, length in
                       ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))]

    def __call__(self, x, y):
        total = 0
        for n, hop, length, window in self.scales:
            def magnitude(v):
                spectrum = torch.stft(v, n, hop, length, window, return_complex=True)
                return (spectrum.real ** 2 + spectrum.imag ** 2).clamp(min=1e-8).sqrt()
            a, b = magnitude(x), magnitude(y)
            total = total + (b - a).norm() / b.norm() + F.l1_loss(a.log(), b.log())
        return total / len(self.scales)


def make(tensors, _):
    eager = Peer(f"PyTorch {torch.__version__}")
    for work in works_of(tensors, "wav2vec2"):
        get = Inputs(tensors, work)
        c, q, choice = get.leaf("c"), get.leaf("q"), get("choice").long()
        eager.add(work, forward_backward(lambda c=c, q=q, choice=choice: wav2vec2(c, q, choice), {"c": c, "q": q}))
    for work in works_of(tensors, "cpc"):
        get = Inputs(tensors, work)
        c, z, w, choice = get.leaf("c"), get.leaf("z"), get.leaf("w"), get("choice").long()
        eager.add(work, forward_backward(lambda c=c, z=z, w=w, choice=choice: cpc(c, z, w, choice),
                                         {"c": c, "z": z, "w": w}))
    for kind, loss in (("dac_mel", DacMel(24000)), ("encodec_mel", EncodecMel(24000)), ("mrstft", MrStft())):
        for work in works_of(tensors, kind):
            get = Inputs(tensors, work)
            x, y = get.leaf("x"), get("y")
            # Signs of differences of logarithms turn where these vanish, and steeply where the spectrum does.
            eager.add(work, forward_backward(lambda loss=loss, x=x, y=y: loss(x, y), {"x": x}), tolerance=1e-3)
    return [eager]


if __name__ == "__main__":
    main(__doc__, make)
