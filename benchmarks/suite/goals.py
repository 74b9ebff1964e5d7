"""What phonaut is meant to reach, and what a run of ./bench reached: geometric means over the shapes of a work."""
import re

from tables import geometric_mean, ratios, share_of_limit, table


class Goal:
    def __init__(self, work, key, rows, peer, ratio=None, share=None, share_on_more=None, nanoseconds=None, memory=None):
        """`rows` and `peer` are patterns of row["work"] and row["peer"] in the comparison `key`. `ratio`: how many times
        as fast as the peer; `share`: of the limit on one thread, `share_on_more` on more; `nanoseconds`: of one op at
        most; `memory`: of the peer's at most."""
        self.work, self.key, self.rows, self.peer = work, key, re.compile(rows), re.compile(peer)
        self.ratio, self.share, self.share_on_more = ratio, share, share_on_more or share
        self.nanoseconds, self.memory = nanoseconds, memory


EAGER = r"^PyTorch [\d.]+(\+\w+)?$"
FORWARD, BF16 = r"^[SM]: forward \d+x\d+$", r", bf16"
GOALS = [
    Goal("Zipformer forward", "zipformer", FORWARD, EAGER, 2.2, 0.6, 0.5),
    Goal("Zipformer forward", "zipformer", FORWARD, "OpenVINO", 1.25),
    Goal("Zipformer forward", "zipformer", FORWARD, "compile", 1.5),
    Goal("Zipformer forward", "zipformer", FORWARD, "ONNX", 1.6),
    Goal("Zipformer forward, bf16 products", "zipformer", BF16, EAGER, 5),
    Goal("Zipformer forward, bf16 products", "zipformer", BF16, "OpenVINO", 1.4),
    Goal("Zipformer-S forward + backward", "zipformer", r"^S: forward \+ backward", EAGER, 2, 0.5),
    Goal("Zipformer-M, a chunk of a stream", "zipformer", r"^M: a chunk", "ONNX", 1.5),
    Goal("Zipformer, memory of a training step", "zipformer", r"^[SM]: forward \+ backward", EAGER, memory=0.6),
    Goal("stem of wav2vec 2.0", "stem", r" s$", EAGER, 2.2, 0.72),
    Goal("stem of wav2vec 2.0", "stem", r" s$", "OpenVINO", 1.1),
    Goal("stem of wav2vec 2.0, bf16 products", "stem", BF16, EAGER, 8),
    Goal("depthwise convolution, forward", "layers", r"^depthwise.*, forward$", EAGER, 2, 0.3),
    Goal("depthwise convolution, forward + backward", "layers", r"^depthwise.*, forward \+ backward$", EAGER, 2, 0.3),
    Goal("residual VQ 8 x 1024 x 128, 750 frames", "quantizers", r"x 128, 750 ", EAGER, 3, 0.75),
    Goal("residual VQ 8 x 1024 x 128, 15000 frames", "quantizers", r"x 128, 15000 ", EAGER, 6, 0.75),
    Goal("residual VQ 8 x 1024 x 128", "quantizers", r"^residual VQ.* x 128, ", "faiss", 2),
    Goal("codebooks of 8 dimensions (DAC)", "quantizers", r"^(residual VQ.* x 8,|search by cosine)", EAGER, 15, 0.5),
    Goal("FSQ and LFQ", "quantizers", r"^(FSQ|LFQ)", EAGER, 4, 0.7),
    Goal("SIGReg forward + backward", "sigreg", "", EAGER, 3, 0.7),
    Goal("SwooshL, SwooshR", "layers", "^Swoosh", EAGER, 5, 0.8),
    Goal("BiasNorm", "layers", "^BiasNorm", EAGER, 3, 0.8),
    Goal("Snake", "layers", "^Snake", EAGER, 8, 0.8),
    Goal("GLU", "layers", "^GLU", EAGER, 2, 0.8),
    Goal("LayerNorm", "layers", "^LayerNorm", EAGER, 2, 0.8),
    Goal("filterbanks of 60 s", "frontends", "", "torchaudio", 2),
    Goal("filterbanks of 60 s", "frontends", "", "kaldi-native-fbank", 2),
    Goal("multi-scale mel losses", "losses", "^(mel loss|multi-resolution)", EAGER, 2),
    Goal("cost of an op, not recorded", "overhead", "without recording", EAGER, nanoseconds=60),
    Goal("cost of an op, forward + backward recorded", "overhead", "forward \\+ backward", EAGER, nanoseconds=200),
]


def against(goal):
    return {EAGER: "PyTorch eager", "compile": "torch.compile", "ONNX": "ONNX Runtime", "OpenVINO": "OpenVINO"}.get(
        goal.peer.pattern, goal.peer.pattern)


def reached(goal, part, threads):
    """(text, is it reached), of one number of threads."""
    rows = [row for row in part["rows"] if row["threads"] == threads and goal.rows.search(row["work"])
            and goal.peer.search(row["peer"])]
    if goal.memory:
        found = [m["ours"] / m["theirs"] for m in part.get("memory", []) if goal.rows.search(m["work"])]
        return (f"{geometric_mean(found):.2f}", geometric_mean(found) <= goal.memory) if found else None
    if not rows:
        return None
    if not all(row["quiet"] for row in rows):
        return "disturbed", None
    if goal.nanoseconds:
        cost = geometric_mean([1e9 * min(row["ours"]) / row["ops"] for row in rows])
        return f"{cost:.0f} ns", cost <= goal.nanoseconds
    ratio = geometric_mean([ratios(row)[0] for row in rows])
    text, good = f"{ratio:.2f}×", ratio >= goal.ratio
    shares = [share for row in rows for share in [share_of_limit(row)] if share]
    wanted = goal.share if threads == 1 else goal.share_on_more
    if wanted and shares:
        share = geometric_mean([s for s, _ in shares])
        text += f", {share:.0%} of the limit"
        good = good and share >= wanted
    return text, good


def wanted(goal):
    if goal.memory:
        return f"≤ {goal.memory:g}× its memory"
    if goal.nanoseconds:
        return f"≤ {goal.nanoseconds} ns"
    text = f"≥ {goal.ratio:g}×"
    if goal.share:
        text += f", {goal.share:.0%}" + (f" / {goal.share_on_more:.0%}" if goal.share_on_more != goal.share else "")
        text += " of the limit"
    return text


def table_of(found):
    rows = []
    for goal in GOALS:
        part = found["peers"].get(goal.key)
        cells = [reached(goal, part, threads) if part else None for threads in found["threads"]]
        marks = {True: "reached", False: "**missed**", None: ""}
        rows.append([goal.work, against(goal), wanted(goal),
                     *[f"{cell[0]} {marks[cell[1]]}".strip() if cell else "not measured" for cell in cells]])
    return table(["work", "against", "goal", *[f"{n} thread{'s' if n > 1 else ''}" for n in found["threads"]]], rows)
