"""The searches of quantizers as published Python code and faiss do them. See works_peers.py; faiss may be missing."""
import sys

import numpy as np
import torch
import torch.nn.functional as F

from works_peers import Inputs, Peer, main, works_of


def encodec_distance(x, table):
    """As EnCodec's codebook computes it: minus the squared distances, of which the largest is taken."""
    return -(x.pow(2).sum(1, keepdim=True) - 2 * x @ table.t() + table.t().pow(2).sum(0, keepdim=True))


def encodec_nearest(x, table):
    return encodec_distance(x, table).max(dim=-1).indices


def residual(x, tables, nearest):
    """Codes (T, levels) of x (T, D)."""
    codes, rest = [], x
    for table in tables:
        codes.append(nearest(rest, table))
        rest = rest - F.embedding(codes[-1], table)
    return torch.stack(codes, -1)


def product_nearest(halves):
    """The same by one product with the halved norms prepared: the shortest way that PyTorch has."""
    return lambda x, table: torch.addmm(halves[table.data_ptr()], x, table.t(), alpha=-1).argmin(-1)


def dac_search(x, table):
    """As the Descript audio codec does it: both sides at unit length."""
    encodings, codebook = F.normalize(x), F.normalize(table)
    distance = (encodings.pow(2).sum(1, keepdim=True) - 2 * encodings @ codebook.t()
                + codebook.pow(2).sum(1, keepdim=True).t())
    return (-distance).max(1).indices


class Fsq(torch.nn.Module):
    """As vector-quantize-pytorch computes it."""

    def __init__(self, levels, eps=1e-3):
        super().__init__()
        levels = torch.tensor(levels)
        self.half = (levels - 1) * (1 + eps) / 2
        self.offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        self.shift = (self.offset / self.half).atanh()
        self.half_width = levels // 2
        self.basis = torch.cumprod(torch.tensor([1] + levels[:-1].tolist()), 0).int()

    def forward(self, z):
        bounded = (z + self.shift).tanh() * self.half - self.offset
        codes = bounded.round() / self.half_width
        return ((codes * self.half_width + self.half_width) * self.basis).sum(-1).to(torch.int32)


def lfq(x, mask):
    """As vector-quantize-pytorch computes it."""
    return ((x > 0).int() * mask).sum(-1).int()


def faiss_ones(tensors, threads):
    import faiss
    faiss.omp_set_num_threads(threads)
    peer = Peer(f"faiss {faiss.__version__}")

    def index_of(table):
        index = faiss.IndexFlatL2(table.shape[1])
        index.add(table)
        return index

    def add_residual(work, x, tables):
        indices = [index_of(table) for table in tables]

        def call():
            rest, codes = x.copy(), []
            for index, table in zip(indices, tables):
                codes.append(index.search(rest, 1)[1][:, 0])
                rest -= table[codes[-1]]
            return {"codes": np.stack(codes, -1)}
        peer.add(work, call)

    for work in works_of(tensors, "rvq128") + works_of(tensors, "rvq8"):
        x = tensors[f"{work}/x"][0]
        add_residual(work, x, [tensors[f"{work}/table.{i}"] for i in range(8)])
    for work in works_of(tensors, "kmeans"):
        def call(x=tensors[f"{work}/x"], index=index_of(tensors[f"{work}/table"])):
            return {"codes": index.search(x, 1)[1][:, 0]}
        peer.add(work, call)
    return peer


def make(tensors, threads):
    eager, product = Peer(f"PyTorch {torch.__version__}"), Peer("PyTorch, product and argmin")
    on_gpu = torch.get_default_device().type == "cuda"
    compiled = Peer(f"torch.compile {torch.__version__}")

    def both(peer, work, call):
        def inferred():
            with torch.inference_mode():
                return {"codes": call()}
        peer.add(work, inferred)

    for work in works_of(tensors, "rvq128") + works_of(tensors, "rvq8"):
        get = Inputs(tensors, work)
        x, tables = get("x")[0], [get(f"table.{i}") for i in range(8)]
        halves = {table.data_ptr(): 0.5 * table.square().sum(-1) for table in tables}
        both(eager, work, lambda x=x, tables=tables: residual(x, tables, encodec_nearest))
        if on_gpu:
            fast = torch.compile(residual, dynamic=False)
            both(compiled, work, lambda fast=fast, x=x, tables=tables: fast(x, tables, encodec_nearest))
        both(product, work, lambda x=x, tables=tables, halves=halves: residual(x, tables, product_nearest(halves)))
    for work in works_of(tensors, "direction"):
        get = Inputs(tensors, work)
        both(eager, work, lambda x=get("x"), table=get("table"): dac_search(x, table))
    for work in works_of(tensors, "kmeans"):
        get = Inputs(tensors, work)
        x, table = get("x"), get("table")
        halves = {table.data_ptr(): 0.5 * table.square().sum(-1)}
        both(eager, work, lambda x=x, table=table: torch.cdist(x[None], table[None])[0].argmin(-1))
        both(product, work, lambda x=x, table=table, halves=halves: product_nearest(halves)(x, table))
    fsq = Fsq([8, 5, 5, 5])
    for work in works_of(tensors, "fsq"):
        both(eager, work, lambda x=Inputs(tensors, work)("x"): fsq(x))
    for work in works_of(tensors, "lfq"):
        x = Inputs(tensors, work)("x")
        both(eager, work, lambda x=x, mask=2 ** torch.arange(x.shape[-1] - 1, -1, -1): lfq(x, mask))
    peers = [eager, product]
    if on_gpu:  # faiss is a processor's
        return [*peers, compiled]
    try:
        peers.append(faiss_ones(tensors, threads))
    except ImportError as missing:
        print(f"quantizers_peers: faiss is left out: {missing}", file=sys.stderr)
    return peers


if __name__ == "__main__":
    main(__doc__, make)
