"""The flagship autoencoder in PyTorch eager, to be timed beside phonaut's. Needs torch.

    python3 benchmarks/peers/autoencoder_torch.py --threads 2

Builds the same layers at the same sizes (random weights: time does not depend on them), runs training steps (forward,
losses, backward, clipping, AdamW) and inference passes, and prints one JSON line with the minimum and the median of
each in seconds. `benchmarks/peers/compare_autoencoder` runs it in turn with phonaut's and prints the ratios.
"""
import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn


def swoosh_l(x):
    return F.softplus(x - 4) - 0.08 * x - 0.035


def swoosh_r(x):
    return F.softplus(x - 1) - 0.08 * x - 0.313261687


class BiasNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dim))
        self.log_scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * ((x - self.bias).square().mean(-1, keepdim=True).rsqrt() * self.log_scale.exp())


def position_table(frames, dim):
    offset = torch.arange(-(frames - 1), frames, dtype=torch.float64)
    c = math.sqrt(dim)
    z = c * offset.sign() * ((offset.abs() + c).log() - math.log(c))
    theta = torch.atan(2 * math.pi * z / dim)
    order = torch.arange(1, dim // 2 + 1, dtype=torch.float64)
    table = torch.stack([torch.cos(theta[:, None] * order), torch.sin(theta[:, None] * order)], -1).flatten(1)
    table[:, -1] = 1
    return table.float()


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
        scores = r @ offsets  # (n, h, t, 2t-1)
        scores = scores.as_strided(
            (n, h, t, t), (scores.stride(0), scores.stride(1), scores.stride(2) - 1, 1), scores.storage_offset() + t - 1
        )
        scores = q @ k + scores
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


class Feedforward(nn.Module):
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
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x, padded):
        x, gate = self.in_proj(x).chunk(2, -1)
        x = (x * gate.sigmoid()).masked_fill(padded[..., None], 0)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.out_proj(swoosh_r(x))


class ZipformerLayer(nn.Module):
    def __init__(self, dim, heads, feedforward, kernel):
        super().__init__()
        self.weights = AttentionWeights(dim, heads)
        self.attention1, self.attention2 = SelfAttention(dim, heads), SelfAttention(dim, heads)
        self.nonlin = NonlinAttention(dim)
        self.feedforward = nn.ModuleList(Feedforward(dim, n) for n in (3 * feedforward // 4, feedforward, 5 * feedforward // 4))
        self.conv1, self.conv2 = Convolution(dim, kernel), Convolution(dim, kernel)
        self.norm = BiasNorm(dim)
        self.bypass = nn.Parameter(torch.full((dim,), 0.5))
        self.bypass_mid = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, source, table, padded):
        a = self.weights(source, table, padded)
        x = source + self.feedforward[0](source)
        x = x + self.nonlin(x, a)
        x = x + self.attention1(x, a)
        x = x + self.conv1(x, padded)
        x = x + self.feedforward[1](x)
        x = source + (x - source) * self.bypass_mid
        x = x + self.attention2(x, a)
        x = x + self.conv2(x, padded)
        x = x + self.feedforward[2](x)
        return source + (self.norm(x) - source) * self.bypass


class Downsample(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x):
        n, t, c = x.shape
        missing = -t % self.factor
        if missing:
            x = torch.cat([x, x[:, -1:].expand(n, missing, c)], 1)
        return (x.view(n, -1, self.factor, c) * self.bias.softmax(0)[:, None]).sum(2)


class Stack(nn.Module):
    def __init__(self, dim, heads, feedforward, kernel, layers, factor):
        super().__init__()
        self.factor = factor
        self.layers = nn.ModuleList(ZipformerLayer(dim, heads, feedforward, kernel) for _ in range(layers))
        if factor > 1:
            self.downsample = Downsample(factor)
            self.bypass = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, x, padded):
        y = self.downsample(x) if self.factor > 1 else x
        mask = padded[:, :: self.factor]
        table = position_table(y.shape[1], 48)
        for layer in self.layers:
            y = layer(y, table, mask)
        if self.factor > 1:
            y = y.repeat_interleave(self.factor, 1)[:, : x.shape[1]]
            y = x + (y - x) * self.bypass
        return y
