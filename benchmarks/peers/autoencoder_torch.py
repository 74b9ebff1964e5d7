"""The flagship autoencoder (examples/autoencoder) in PyTorch eager, to be timed beside phonaut's. Needs torch and numpy.

    phonaut-bench-autoencoder export model.safetensors          # weights, batches and what phonaut makes of them
    autoencoder_torch.py model.safetensors --check              # the same losses and gradients? exit status 1 if not
    autoencoder_torch.py model.safetensors --threads 2          # answers requests: see served.py

Written as a PyTorch user would write it for speed: fused AdamW, multi-tensor averaging, cached tables, no copies where a
view will do, and real gathers only where a batch of unequal lengths needs them. Parameters have the names of phonaut's,
so that a strict load_state_dict proves that both have the same ones.
"""
import argparse
import copy
import functools
import json
import math
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as missing:
    sys.exit(f"autoencoder_torch.py: {sys.executable} has no {missing.name}")

import safetensors_file
import served


# ---- the layers of a Zipformer, batch first

def swoosh_l(x):
    return F.softplus(x - 4) - 0.08 * x - 0.035


def swoosh_r(x):
    return F.softplus(x - 1) - 0.08 * x - 0.313261687


class BiasNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.log_scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return x * ((x - self.bias).square().mean(-1, keepdim=True).rsqrt() * self.log_scale.exp())


class Bypass(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, old, fresh):
        return torch.lerp(old, fresh, self.bypass_scale)


@functools.lru_cache(maxsize=None)
def position_table(frames, dim, dtype):
    """(2 frames - 1, dim), row = offset + frames - 1; made once for each length, as published models do."""
    offset = torch.arange(-(frames - 1), frames, dtype=torch.float64)
    root = math.sqrt(dim)
    z = root * offset.sign() * torch.log1p(offset.abs() / root)
    angle = torch.atan(2 * math.pi * z / dim)
    order = torch.arange(1, dim // 2 + 1, dtype=torch.float64)
    table = torch.stack([torch.cos(angle[:, None] * order), torch.sin(angle[:, None] * order)], -1).flatten(1)
    table[:, -1] = 1
    return table.to(dtype)


class AttentionWeights(nn.Module):
    def __init__(self, dim, heads, query=32, position=4, position_dim=48):
        super().__init__()
        self.heads, self.query, self.position = heads, query, position
        self.in_proj = nn.Linear(dim, heads * (2 * query + position))
        self.linear_pos = nn.Linear(position_dim, heads * position, bias=False)

    def forward(self, x, table, padded):
        n, t, _ = x.shape
        h, d, p = self.heads, self.query, self.position
        q, k, r = self.in_proj(x).split([h * d, h * d, h * p], -1)
        q = q.view(n, t, h, d).transpose(1, 2)
        k = k.view(n, t, h, d).permute(0, 2, 3, 1)
        r = r.view(n, t, h, p).transpose(1, 2)
        offsets = self.linear_pos(table).view(2 * t - 1, h, p).permute(1, 2, 0)
        place = r @ offsets  # (n, h, t, 2t-1): what query t says to the offset; every row is shifted by one
        place = place.as_strided((n, h, t, t), (place.stride(0), place.stride(1), place.stride(2) - 1, 1),
                                 place.storage_offset() + t - 1)
        scores = q @ k + place
        if padded is not None:
            scores = scores.masked_fill(padded[:, None, None, :], -1000)
        return scores.softmax(-1)


class SelfAttention(nn.Module):
    def __init__(self, dim, heads, value=12):
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(dim, heads * value)
        self.out_proj = nn.Linear(heads * value, dim)

    def forward(self, x, weights):
        n, t, _ = x.shape
        v = self.in_proj(x).view(n, t, self.heads, -1).transpose(1, 2)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(n, t, -1))


class NonlinAttention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        hidden = 3 * dim // 4
        self.in_proj = nn.Linear(dim, 3 * hidden)
        self.out_proj = nn.Linear(hidden, dim)

    def forward(self, x, weights):
        s, v, g = self.in_proj(x).chunk(3, -1)
        return self.out_proj((weights[:, 0] @ (v * s.tanh())) * g)


class FeedForward(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.in_proj = nn.Linear(dim, hidden)
        self.out_proj = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.out_proj(swoosh_l(self.in_proj(x)))


class Convolution(nn.Module):
    def __init__(self, dim, kernel):
        super().__init__()
        self.in_proj = nn.Linear(dim, 2 * dim)
        self.depthwise_conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x, padded):
        x = F.glu(self.in_proj(x), -1)
        if padded is not None:
            x = x.masked_fill(padded[..., None], 0)
        # As a 2-D convolution of height 1, the transposed view counts as "channels last" and is not copied: 1.7 times
        # faster than Conv1d.
        conv = self.depthwise_conv
        x = F.conv2d(x.transpose(1, 2)[:, :, None], conv.weight[:, :, None], conv.bias, padding=(0, conv.padding[0]),
                     groups=conv.groups)
        return self.out_proj(swoosh_r(x[:, :, 0].transpose(1, 2)))


class ZipformerLayer(nn.Module):
    def __init__(self, dim, heads, feedforward, kernel):
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((dim,), 0.5))  # used by nothing, but published checkpoints have it
        self.bypass, self.bypass_mid = Bypass(dim), Bypass(dim)
        self.self_attn_weights = AttentionWeights(dim, heads)
        self.self_attn1, self.self_attn2 = SelfAttention(dim, heads), SelfAttention(dim, heads)
        self.feed_forward1 = FeedForward(dim, 3 * feedforward // 4)
        self.feed_forward2 = FeedForward(dim, feedforward)
        self.feed_forward3 = FeedForward(dim, 5 * feedforward // 4)
        self.nonlin_attention = NonlinAttention(dim)
        self.conv_module1, self.conv_module2 = Convolution(dim, kernel), Convolution(dim, kernel)
        self.norm = BiasNorm(dim)

    def forward(self, source, table, padded):
        weights = self.self_attn_weights(source, table, padded)
        x = source + self.feed_forward1(source)
        x = x + self.nonlin_attention(x, weights)
        x = x + self.self_attn1(x, weights)
        x = x + self.conv_module1(x, padded)
        x = x + self.feed_forward2(x)
        x = self.bypass_mid(source, x)
        x = x + self.self_attn2(x, weights)
        x = x + self.conv_module2(x, padded)
        x = x + self.feed_forward3(x)
        return self.bypass(source, self.norm(x))


class Downsample(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x, lengths):
        n, t, c = x.shape
        groups = -(-t // self.factor)
        if groups * self.factor != t or any(length % self.factor for length in lengths):
            # The last group of an utterance is filled up with its last frame.
            index = torch.arange(groups * self.factor).clamp(max=t - 1).expand(n, -1)
            index = index.minimum(torch.tensor(lengths)[:, None] - 1)
            x = x.gather(1, index[..., None].expand(-1, -1, c))
        return (x.view(n, groups, self.factor, c) * self.bias.softmax(0)[:, None]).sum(2)


def padded_frames(lengths, time):
    """(N, time), true behind the end of an utterance; None if there is no such frame."""
    return None if min(lengths) == time else torch.arange(time) >= torch.tensor(lengths)[:, None]


class Stack(nn.Module):
    def __init__(self, dim, heads, feedforward, kernel, factor):
        super().__init__()
        layers = nn.ModuleList([ZipformerLayer(dim, heads, feedforward, kernel)])
        if factor == 1:
            self.layers = layers
        else:
            self.encoder = nn.ModuleDict({"layers": layers})
            self.downsample = Downsample(factor)
            self.out_combiner = Bypass(dim)
        self.factor = factor

    def forward(self, x, lengths):
        if self.factor == 1:
            return self.run(self.layers, x, lengths)
        y = self.run(self.encoder["layers"], self.downsample(x, lengths), [-(-n // self.factor) for n in lengths])
        y = y.repeat_interleave(self.factor, 1)[:, : x.shape[1]]
        return self.out_combiner(x, y)

    @staticmethod
    def run(layers, x, lengths):
        table, padded = position_table(x.shape[1], 48, x.dtype), padded_frames(lengths, x.shape[1])
        for layer in layers:
            x = layer(x, table, padded)
        return x


# ---- spectra

def mel_filters(rate, n_fft, bands, high=None):
    """(bins, bands): triangles linear in Hz between points that are equal steps apart in Slaney's mel, with unit area."""
    def hz(mel):
        return np.where(mel >= 15, 1000 * np.exp((mel - 15) * math.log(6.4) / 27), mel * 200 / 3)
    high = high or rate / 2
    top = 15 + math.log(high / 1000) * 27 / math.log(6.4) if high >= 1000 else high * 3 / 200
    corners = hz(np.linspace(0, top, bands + 2))
    bins = np.arange(n_fft // 2 + 1)[:, None] * rate / n_fft
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    triangles = np.maximum(0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    return torch.from_numpy(triangles * 2 / (right - left))


def reflect(x, lengths, pad):
    """(N, L) -> (N, pad + L + pad), each utterance mirrored at its own ends."""
    if min(lengths) == x.shape[1]:
        return F.pad(x[:, None], (pad, pad), mode="reflect")[:, 0]
    position = torch.arange(-pad, x.shape[1] + pad).abs().expand(x.shape[0], -1)
    last = torch.tensor(lengths)[:, None] - 1
    return x.gather(1, (last - (last - position).abs()).clamp(min=0))


class LogMel(nn.Module):
    """Natural logarithm of mel bands of smoothed magnitudes: (N, L) and lengths -> (N, T, bands) and frames."""

    def __init__(self, rate, n_fft, hop, bands, floor, centred):
        super().__init__()
        self.n_fft, self.hop, self.floor, self.centred = n_fft, hop, floor, centred
        self.register_buffer("window", torch.hann_window(n_fft, dtype=torch.float64).float(), persistent=False)
        self.register_buffer("filters", mel_filters(rate, n_fft, bands).float(), persistent=False)

    def forward(self, x, lengths):
        pad = self.n_fft // 2 if self.centred else (self.n_fft - self.hop) // 2
        spectrum = torch.stft(reflect(x, lengths, pad), self.n_fft, self.hop, window=self.window, center=False,
                              return_complex=True).transpose(1, 2)  # (N, T, bins), contiguous
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        return (magnitude @ self.filters).clamp(min=self.floor).log(), [self.frames(n) for n in lengths]

    def frames(self, samples):
        return samples // self.hop + (1 if self.centred else 0)


class MultiScaleMel(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.scales = nn.ModuleList(
            LogMel(rate, rate * ms // 1000, rate * ms // 4000, bands, 1e-4, True)
            for ms, bands in ((8, 10), (16, 20), (32, 40), (64, 64), (128, 80)))

    def forward(self, got, want, lengths):
        total = 0
        for mel in self.scales:
            (a, frames), (b, _) = mel(got, lengths), mel(want, lengths)
            difference, padded = (a - b).abs(), padded_frames(frames, a.shape[1])
            if padded is not None:
                difference = difference.masked_fill(padded[..., None], 0)
            total = total + difference.sum() / (sum(frames) * a.shape[2])
        return total / len(self.scales)


class InverseStft(nn.Module):
    """Log magnitudes and phases (N, T, n_fft + 2) -> (N, T hop), overlap-added and divided by the squared windows."""

    def __init__(self, n_fft, hop):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        window = torch.hann_window(n_fft, dtype=torch.float64)
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("squares", window.square().float(), persistent=False)

    def overlap_add(self, frames):
        """(N, T, n_fft) -> (N, T hop): as many shifted sums as a window has hops, much faster than fold()."""
        n, t, _ = frames.shape
        hops = -(-self.n_fft // self.hop)
        blocks = F.pad(frames, (0, hops * self.hop - self.n_fft)).view(n, t, hops, self.hop)
        total = sum(F.pad(blocks[:, :, k], (0, 0, k, hops - 1 - k)) for k in range(hops)).flatten(1)
        trim = (self.n_fft - self.hop) // 2
        return total[:, trim : trim + t * self.hop]

    def forward(self, x, lengths):
        logarithm, phase = x.chunk(2, -1)
        magnitude = logarithm.exp().clamp(max=100)
        spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())  # faster than polar()
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        padded = padded_frames(lengths, x.shape[1])
        weight = self.squares.expand(1, x.shape[1], -1)
        if padded is not None:
            frames = frames.masked_fill(padded[..., None], 0)
            weight = weight * ~padded[..., None]
        y, envelope = self.overlap_add(frames), self.overlap_add(weight)
        if padded is not None:
            beyond = padded_frames([n * self.hop for n in lengths], y.shape[1])
            envelope, y = envelope.masked_fill(beyond, 1), y.masked_fill(beyond, 0)
        return y / envelope


# ---- the model and its objective

class Autoencoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.kind, self.latent = c["bottleneck"], c["latent"]
        if self.kind not in ("sigreg", "kl", "none"):
            raise SystemExit(f"the twin has no bottleneck '{self.kind}', only sigreg, kl and none")
        rate, dim, mels = c["rate"], c["dim"], c["mels"]
        hop = rate // 100
        window = hop * 16 // 5

        def stacks(factors):
            return nn.ModuleList(Stack(dim, c["heads"], c["feedforward"], c["kernel"], f) for f in factors)
        self.mel = LogMel(rate, window, hop, mels, 1e-5, False)
        self.stem = nn.Linear(2 * mels, dim)
        self.hidden_frame = nn.Parameter(torch.empty(dim).uniform_(-0.5, 0.5))
        self.encoder = stacks(c["encoder_factors"])
        self.encoder_norm = BiasNorm(dim)
        self.to_latent = nn.Linear(2 * dim, 2 * self.latent if self.kind == "kl" else self.latent)
        self.predictor_in, self.predictor_out = nn.Linear(self.latent, 2 * dim), nn.Linear(2 * dim, self.latent)
        self.from_latent = nn.Linear(self.latent, 2 * dim)
        self.decoder = stacks(c["decoder_factors"])
        self.decoder_norm = BiasNorm(dim)
        self.head = nn.Linear(dim, 2 * (window + 2))
        self.synthesis = InverseStft(window, hop)

    def encode(self, x, lengths, hidden=None):
        """(N, L) -> latents (N, T, latent), log variances or None, and how many latents are real."""
        y, frames = self.mel(x, lengths)
        y = self.stem(y.reshape(y.shape[0], y.shape[1] // 2, -1))
        frames = [n // 2 for n in frames]
        if hidden is not None:
            y = torch.where(hidden.repeat_interleave(2, 1)[..., None], self.hidden_frame, y)
        for stack in self.encoder:
            y = stack(y, frames)
        y = self.encoder_norm(y)
        z = self.to_latent(y.reshape(y.shape[0], y.shape[1] // 2, -1))
        frames = [n // 2 for n in frames]
        return (*z.chunk(2, -1), frames) if self.kind == "kl" else (z, None, frames)

    def bottleneck(self, z, spread, noise=None):
        if self.kind != "kl" or not self.training:
            return z
        return torch.addcmul(z, (0.5 * spread).exp(), torch.randn_like(z) if noise is None else noise)

    def decode(self, z, frames):
        y = self.from_latent(z).view(z.shape[0], 2 * z.shape[1], -1)
        frames = [2 * n for n in frames]
        for stack in self.decoder:
            y = stack(y, frames)
        y = self.head(self.decoder_norm(y)).view(z.shape[0], 4 * z.shape[1], -1)
        return self.synthesis(y, [2 * n for n in frames])

    def forward(self, x, lengths):
        z, spread, frames = self.encode(x, lengths)
        return self.decode(self.bottleneck(z, spread), frames)


class Sigreg(nn.Module):
    """LeJEPA's regulariser: the Epps-Pulley statistic of random projections, 17 knots on [0, 3]."""

    def __init__(self, knots=17, t_max=3.0):
        super().__init__()
        t = torch.linspace(0, t_max, knots, dtype=torch.float64)
        phi = (-0.5 * t.square()).exp()
        weights = torch.full((knots,), 2 * t_max / (knots - 1), dtype=torch.float64)
        weights[[0, -1]] *= 0.5
        for name, value in (("t", t), ("phi", phi), ("weights", weights * phi)):
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self, x, slices):
        angles = (x @ slices).unsqueeze(-1) * self.t  # (N, M, knots)
        error = (angles.cos().mean(0) - self.phi).square() + angles.sin().mean(0).square()
        return (error @ self.weights).mean() * x.shape[0]


def random_slices(dims, count, like):
    directions = torch.randn(dims, count, dtype=like.dtype)
    return directions / directions.norm(dim=0, keepdim=True)


def draw_hidden(frames, time, share, span):
    length = torch.tensor(frames)[:, None]
    spans = (share * length / span).round().long().clamp(min=1)
    most = int(spans.max())
    start = (torch.rand(len(frames), most) * (length - span + 1).clamp(min=1)).long()[..., None]
    position = torch.arange(time)
    inside = (position >= start) & (position < start + span) & (torch.arange(most)[:, None] < spans[..., None])
    return inside.any(1) & (position < length) & (length > 1)


class Objective(nn.Module):
    def __init__(self, model_config, config):
        super().__init__()
        self.config = config
        self.distance, self.sigreg = MultiScaleMel(model_config["rate"]), Sigreg()

    def forward(self, model, x, lengths, slices=None, noise=None, hidden=None):
        """The loss and its terms. Draws are made here unless they are given."""
        c = self.config
        z, spread, frames = model.encode(x, lengths)
        terms = {"reconstruction": self.distance(model.decode(model.bottleneck(z, spread, noise), frames), x, lengths)}
        loss = terms["reconstruction"]
        padded = padded_frames(frames, z.shape[1])

        def real(v):
            return v.flatten(0, 1) if padded is None else v[~padded]
        if model.kind == "sigreg":
            if slices is None:
                slices = random_slices(z.shape[2], c["slices"], z)
            terms["regulariser"] = self.sigreg(real(z), slices)
            loss = loss + (c["regulariser_weight"] or 0.02) * terms["regulariser"]
        elif model.kind == "kl":
            m, s = real(z), real(spread)
            terms["regulariser"] = 0.5 * (m.square() + s.expm1() - s).sum() / m.shape[0]
            loss = loss + (c["regulariser_weight"] or 0.005) * terms["regulariser"]
        if c["semantic_weight"] > 0:
            if hidden is None:
                hidden = draw_hidden(frames, z.shape[1], c["mask_share"], c["mask_span"])
            view, _, _ = model.encode(x, lengths, hidden)
            target = F.layer_norm(z.detach(), z.shape[-1:])
            # Only hidden frames are predicted.
            guess = model.predictor_out(swoosh_r(model.predictor_in(view[hidden])))
            terms["semantic"] = F.mse_loss(guess, target[hidden])
            loss = loss + c["semantic_weight"] * terms["semantic"]
        return loss, terms


class Training:
    """Everything that a step touches: clipping, AdamW without decay on biases and norms, the averaged copy."""

    def __init__(self, model, objective):
        self.model, self.objective, self.config = model, objective, objective.config
        self.average = copy.deepcopy(model).requires_grad_(False)
        decays = [p.dim() >= 2 and "bias" not in name and "norm" not in name for name, p in model.named_parameters()]
        groups = [{"params": [p for p, d in zip(model.parameters(), decays) if d == kind], "weight_decay": decay}
                  for kind, decay in ((True, self.config["weight_decay"]), (False, 0.0))]
        self.optimiser = torch.optim.AdamW(groups, lr=self.config["learning_rate"], betas=(0.9, 0.98), fused=True)
        self.pairs = list(self.average.parameters()), list(model.parameters())

    def step(self, x, lengths):
        self.model.train()
        loss, _ = self.objective(self.model, x, lengths)
        self.optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.pairs[1], self.config["clip"], foreach=True)
        if math.isfinite(loss.item()) and math.isfinite(norm.item()):
            self.optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(self.pairs[0], self.pairs[1], 1 - self.config["ema"])


# ---- what can be asked

def batch_of(tensors, name):
    return torch.from_numpy(tensors[f"{name}/samples"]), [int(n) for n in tensors[f"{name}/lengths"]]


def check(model, objective, tensors, metadata):
    """Compares losses and gradients with phonaut's for a batch of several lengths; in double, so that what differs is
    the rounding of phonaut's floats."""
    model, objective = model.double(), objective.double()
    model.train()
    x, lengths = batch_of(tensors, "check")
    given = {name: torch.from_numpy(tensors[f"check/{name}"]).double() for name in ("slices", "noise", "hidden")
             if f"check/{name}" in tensors}
    given["hidden"] = given["hidden"] > 0 if "hidden" in given else None
    loss, terms = objective(model, x.double(), lengths, **given)
    loss.backward()
    good = True
    want = json.loads(metadata["terms"])
    print(f"parameters: phonaut {want['parameters']}, twin {sum(p.numel() for p in model.parameters())}")
    good &= want["parameters"] == sum(p.numel() for p in model.parameters())
    for name, got in {"loss": loss, **terms}.items():
        error = abs(got.item() - want[name]) / abs(want[name])
        print(f"{name}: phonaut {want[name]:.8g}, twin {got.item():.8g}, relative difference {error:.1e}")
        good &= error < 1e-6  # float holds 6e-8, and a loss is the mean of many rounded numbers
    # |x - y| has a kink: an element whose sides agree to the rounding of a float's log-mel, 1e-5, may pull the other way
    # there than here. One such element among 25000 was seen to turn 2e-4 of the gradient.
    with torch.no_grad():
        z, spread, frames = model.encode(x.double(), lengths)
        y = model.decode(model.bottleneck(z, spread, given.get("noise")), frames)
        close = sum(int(((mel(y, lengths)[0] - mel(x.double(), lengths)[0]).abs() < 1e-5)[~behind].sum())
                    for mel in objective.distance.scales
                    for behind in [torch.arange(mel.frames(max(lengths))) >= torch.tensor(
                        [mel.frames(n) for n in lengths])[:, None]])
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters() if p.grad is not None))
    worst, where = 0.0, ""
    for name, p in model.named_parameters():
        theirs = torch.from_numpy(tensors[f"gradients/{name}"]).double().view(p.shape)
        error = (theirs - (p.grad if p.grad is not None else 0)).norm().item() / norm
        if error > worst:
            worst, where = error, name
    print(f"gradients: norm {norm:.6g}, greatest difference of a parameter's {worst:.1e} of it ({where}); "
          f"{close} elements on the kink of |x - y|")
    good &= worst < 1e-5 + 1e-3 * close
    print("the same model" if good else "NOT the same model")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="written by `phonaut-bench-autoencoder export`")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="compare losses and gradients, then end")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    tensors, metadata = safetensors_file.read(args.model)
    model_config, config = json.loads(metadata["model"]), json.loads(metadata["training"])
    model, objective = Autoencoder(model_config), Objective(model_config, config)
    prefix = "model/"
    model.load_state_dict({name[len(prefix):]: torch.from_numpy(np.array(value)) for name, value in tensors.items()
                           if name.startswith(prefix)}, strict=True)
    if args.check:
        sys.exit(0 if check(model, objective, tensors, metadata) else 1)

    batches = [batch_of(tensors, f"batches/{i}") for i in range(int(metadata["batches"]))]
    training = Training(model, objective)

    def infer(x, lengths):
        model.eval()
        with torch.inference_mode():
            model(x, lengths)
    served.serve({"train": [functools.partial(training.step, *b) for b in batches],
                  "infer": [functools.partial(infer, *b) for b in batches]},
                 about={"peer": f"PyTorch {torch.__version__}", "parameters": sum(p.numel() for p in model.parameters())})


if __name__ == "__main__":
    main()
