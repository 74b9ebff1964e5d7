"""Where the time of a work goes: shares of its functions, as `perf` samples them (./bench --profile).

A program that serves works (../served.hpp) is asked for one of them until it has settled, then watched while it goes on.
"""
import json
import re
import shutil
import subprocess
import tempfile
import threading

SECONDS = 6
# (title, program, arguments of `serve`, work)
WORKS = [
    ("Zipformer-M, forward, 10 s", "phonaut-bench-zipformer", ["--size", "M", "--cases", "1000x1"], "forward/1000x1"),
    ("Zipformer-M, forward, 10 s, bf16", "phonaut-bench-zipformer",
     ["--size", "M", "--cases", "1000x1", "--precision", "bf16"], "forward/1000x1"),
    ("Zipformer-M, forward, 10 s, int8", "phonaut-bench-zipformer",
     ["--size", "M", "--cases", "1000x1", "--precision", "int8"], "forward/1000x1"),
    ("Zipformer-S, forward + backward, 10 s", "phonaut-bench-zipformer", ["--size", "S", "--cases", "1000x1"],
     "train/1000x1"),
    ("stem of wav2vec 2.0, 10 s", "phonaut-bench-stem", [], "stem/160000"),
    ("stem of wav2vec 2.0, 10 s, bf16", "phonaut-bench-stem", [], "stem_bf16/160000"),
    ("residual VQ, 15000 frames", "phonaut-bench-quantizers", [], "rvq128/15000"),
    ("FSQ, 600000 frames", "phonaut-bench-quantizers", [], "fsq/600000"),
    ("SIGReg, forward + backward", "phonaut-bench-peers", [], "sigreg"),
    ("SwooshL, 8 x 1000 x 512, forward + backward", "phonaut-bench-layers", [], "swoosh_l/4096000"),
    ("Snake, 8 x 1000 x 512, forward + backward", "phonaut-bench-layers", [], "snake/4096000"),
    ("LayerNorm, 8 x 1000 x 512, forward + backward", "phonaut-bench-layers", [], "layer_norm/4096000"),
    ("GLU, 8 x 1000 x 1024, forward + backward", "phonaut-bench-layers", [], "glu/8192000"),
]
# What functions of kernels/cpu belong to; others are named as they are.
GROUPS = [
    (r"\b(tile|transposed_tile|dot_tile|packed_dot_tile)<|\btile_amx", "products: sums in registers"),
    (r"\b(pack_\w+|words_\w+|to_bytes|gather_patches|conv_gather)\b", "products: operands put in order, or scaled to bytes"),
    (r"\bmultiply(<|_tiles|_dots|_bytes)|\bgemm\b", "products: copies of rows, and loops around the tiles"),
    (r"\bactivate\b|map_value|map_slope|map_(forward|backward)", "activations"),
    (r"score_tile|weights_of_rows|scores_of_rows|relative_attention|softmax", "attention weights"),
    (r"\battend", "attention: values"),
    (r"filter_tile|filter_image|pack_filters|filter_frames|depthwise|slide|chunk_causal", "depthwise convolutions"),
    (r"clear_page|page_fault|\[k\]", "the operating system: pages, interrupts"),
]


def group_of(symbol):
    for pattern, name in GROUPS:
        if re.search(pattern, symbol):
            return name
    plain = re.sub(r"<.*|\(.*", "", symbol.replace("(anonymous namespace)::", "")).split("::")[-1].strip()
    return f"`{plain}`" if plain else "other"


def samples(program, arguments, work):
    """{group: samples}, of one work on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([program, "serve", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            about = json.loads(process.stdout.readline())
            if work not in about["work"]:
                raise SystemExit(f"bench: {program.name} has no work '{work}'")
            done = threading.Event()

            def ask():
                process.stdin.write(f"{work} 1\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())[0]

            for _ in range(3):
                ask()
            watcher = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "2500", "-p", str(process.pid), "-o",
                                        f"{folder}/perf.data"], stderr=subprocess.DEVNULL)
            threading.Timer(SECONDS, done.set).start()
            while not done.is_set():
                ask()
            watcher.terminate()
            watcher.wait()
        finally:
            process.stdin.close()
            process.wait()
        said = subprocess.run(["perf", "script", "-i", f"{folder}/perf.data", "-F", "ip,sym,dso"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout
    found = {}
    for line in said.splitlines():
        match = re.match(r"\s*[0-9a-f]+ (.*) \(([^()]*)\)$", line)
        if match:
            symbol = f"{match[1]} [k]" if "kernel" in match[2] else match[1]
            found[group_of(symbol)] = found.get(group_of(symbol), 0) + 1
    return found


def profiles(build, wanted=""):
    """[(title, [(group, share)])]; groups below a hundredth are put together."""
    if not shutil.which("perf"):
        raise SystemExit("bench: perf is missing (Debian: linux-perf), and without it nothing is known about functions")
    result = []
    for title, program, arguments, work in WORKS:
        path = build / "benchmarks" / program
        if not re.search(wanted, title) or not path.exists():
            continue
        found = samples(path, arguments, work)
        total = sum(found.values())
        if not total:
            raise SystemExit("bench: perf saw nothing; it needs kernel.perf_event_paranoid at 2 or less")
        shares = sorted(((name, count / total) for name, count in found.items()), key=lambda s: -s[1])
        kept = [(name, share) for name, share in shares if share >= 0.01]
        kept.append(("everything else", 1 - sum(share for _, share in kept)))
        result.append((title, kept))
        print(f"{title}: {'; '.join(f'{name} {share:.0%}' for name, share in kept)}", flush=True)
    return result
