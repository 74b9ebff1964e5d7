"""Measures everything: see ../../bench, whose options these are.

Each part is measured by a program that looks at the machine while it works, so that what others disturbed is left out:
kernels by phonaut-bench, works beside other libraries by ../peers/compare_*, streams by phonaut-bench-realtime. With --device
cuda the same programs for a GPU measure there; the exit status is 77 where there is none.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pictures
import profiles
import results
import size
import tables

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/peers"))
import comparison

DOCUMENT = ROOT / "docs/performance.md"
PEERS = ["sigreg", "frontends", "quantizers", "losses", "layers", "overhead", "stem", "autoencoder", "zipformer"]
# Works on a GPU, and what compare_* is told about them.
GPU_PEERS = {"sigreg": [], "frontends": [], "quantizers": ["--only", "rvq128"],
             "zipformer": ["--sizes", "M", "--cases", "1000x8", "--training", "1000x8"]}
GPU_PACKAGES = ["torch", "numpy"]
NO_GPU = 77  # what CTest and automake take for "skipped"
PACKAGES = ["torch", "torchaudio", "numpy", "kaldi-native-fbank", "faiss-cpu", "onnx", "onnxruntime", "openvino"]


def say(text):
    print(text, flush=True)


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute: everything once and small, no peers")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help="of limits, kernels/OP/CASE/DIRECTION, realtime/STREAM, size, peers/KEY; on a GPU, also ways")
    parser.add_argument("--device", type=comparison.device_named, default="cpu", help="cpu, or cuda or cuda:N for a GPU")
    parser.add_argument("--threads", type=int, nargs="+", help="1 and all processors by default")
    parser.add_argument("--json", type=pathlib.Path, help="where the numbers go: build/bench/bench.json, or gpu.json")
    parser.add_argument("--write-docs", type=pathlib.Path, nargs="?", const="", metavar="FILE.json",
                        help="put tables and pictures into docs; of a file, nothing is measured")
    parser.add_argument("--profile", nargs="?", const="", metavar="REGEX",
                        help="measures nothing, but tells where the time of works goes (profiles.py), as perf sees it")
    parser.add_argument("--peers", action="store_true", help="first make a virtual environment with all peers")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--python", help="an interpreter that has the peers' packages (also: PHONAUT_PEER_PYTHON)")
    parser.add_argument("--rounds", type=int, help="of each comparison; its own number by default")
    parser.add_argument("--machine", help="how tables call this machine")
    options = parser.parse_args(arguments)
    options.threads = options.threads or sorted({1, len(os.sched_getaffinity(0))})
    options.on_gpu = options.device != "cpu"
    if options.on_gpu:
        options.threads = [1]
    if options.quick:
        options.threads = options.threads[:1]
    options.json = options.json or ROOT / f"build/bench/{'gpu' if options.on_gpu else 'bench'}.json"
    return options


def answer(command, threads):
    """What a program prints, on as many processors as it has threads; None: on all."""
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    return done.stdout


# ---- parts ----

class NoGpu(Exception):
    """The message says what is missing."""


def gpu_limits(options):
    program = options.build / "benchmarks/phonaut-bench-limits-cuda"
    if not program.exists():
        raise NoGpu("no GPU can be measured: this build has no CUDA backend, because no CUDA toolkit was found")
    done = subprocess.run([str(program), "--seconds", "0.02" if options.quick else "0.5"], stdout=subprocess.PIPE, text=True)
    if done.returncode == NO_GPU:
        raise NoGpu("no GPU here: the CUDA backend was built, and nothing was measured")
    done.check_returncode()
    return json.loads(done.stdout)


def gpu_ways(options):
    """Works that kernels can do in more than one way, and how long each takes: [{"work", "precision", "flops", "seconds": {way:
    …}}], where the way "chosen" is what the sizes say."""
    seconds = "0.01" if options.quick else "0.2"
    return json.loads(answer([options.build / "benchmarks/phonaut-bench-ways-cuda", "--seconds", seconds], None))


def limits(options):
    command = [options.build / "benchmarks/phonaut-bench-limits", "--seconds", 0.02 if options.quick else 0.3]
    for n in options.threads:
        command += ["--threads", n]
    return json.loads(answer(command, max(options.threads)))


def literally(text):
    return re.sub(r"([.+*?()\[\]{}|^$\\])", r"\\\1", text)


def kernels(options, threads):
    """Every case that `--only` chooses. A repetition counts if nobody took its processors for more than a twentieth of its
    time and the machine's peak, looked at before and after it, was within a tenth of what it mostly is."""
    program = [options.build / f"benchmarks/phonaut-bench{'-cuda' * options.on_gpu}", "--threads", threads]
    cpus = None if options.on_gpu else threads
    listed = [line for line in answer([*program, "--benchmark_list_tests=true"], cpus).splitlines()
              if line.endswith("/real_time")]
    wanted = [name for name in listed if re.search(options.only, f"kernels/{name}")]
    if not wanted:
        return []
    rounds = 1 if options.quick else 7
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/kernels.json"
        command = [*program, f"--benchmark_out={out}", "--benchmark_out_format=json", f"--benchmark_repetitions={rounds}",
                   f"--benchmark_min_time={0.0005 if options.quick else 0.02}",
                   "--benchmark_enable_random_interleaving=true"]
        if len(wanted) < len(listed):
            command.append(f"--benchmark_filter=^({'|'.join(map(literally, wanted))})$")
        answer(command, cpus)
        found = json.loads(pathlib.Path(out).read_text())
    runs = {}
    for run in found["benchmarks"]:
        if run.get("run_type") == "iteration":
            runs.setdefault(run["run_name"].removesuffix("/real_time"), []).append(run)
    peaks = sorted(min(run["peak_before"], run["peak_after"]) for group in runs.values() for run in group)
    usual = peaks[len(peaks) * 9 // 10]
    kept = []
    for name, group in runs.items():
        quiet = [run for run in group
                 if run["waited"] <= 0.05 and min(run["peak_before"], run["peak_after"]) >= 0.9 * usual]
        enough = len(quiet) >= min(3, rounds)
        counted = quiet if enough else group
        seconds = [1e-6 * run["real_time"] for run in counted]
        kept.append({"name": name, "threads": threads, "seconds": min(seconds), "median": results.median(seconds),
                     "flops": group[0]["flops"], "bytes": group[0]["bytes"],
                     "peak": results.median([max(run["peak_before"], run["peak_after"]) for run in counted]),
                     "copy": float(found["context"]["copy_bytes"]), "cached": float(found["context"]["cached_bytes"]),
                     "kept": len(quiet) if enough else 0, "rounds": rounds, "quiet": enough,
                     **({"device": options.device} if options.on_gpu else {})})
    return kept


def realtime(options):
    """On one thread, as a stream's program would."""
    program = [options.build / "benchmarks/phonaut-bench-realtime"]
    found = []
    for name in answer([*program, "list"], 1).splitlines():
        if re.search(options.only, f"realtime/{name}"):
            command = [*program, "--threads", 1, "--only", name, "--steps", 20 if options.quick else 10000]
            one = json.loads(answer(command, 1))
            found.append({**one, "quiet": one["waited"] <= 0.01})
    return found


def peers(options, key, python):
    """(one comparison or None, why there is none)."""
    command = [sys.executable, ROOT / f"benchmarks/peers/compare_{key}", "--build", options.build, "--python", python]
    command += ["--device", options.device, *GPU_PEERS[key]] if options.on_gpu else ["--threads", *options.threads]
    if options.machine:
        command += ["--machine", options.machine]
    if options.rounds:
        command += ["--rounds", options.rounds]
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "part.json"
        status = subprocess.run([str(c) for c in [*command, "--json", out]]).returncode
        if status == 0:
            return json.loads(out.read_text()), None
    return None, "left out" if status == 77 else f"failed with status {status}"


def peer_python(options):
    own = ROOT / "build/peers/bin/python"
    if options.peers:
        if not own.exists():
            subprocess.run([sys.executable, "-m", "venv", ROOT / "build/peers"], check=True)
        packages = GPU_PACKAGES if options.on_gpu else PACKAGES
        subprocess.run([own, "-m", "pip", "install", "--quiet", *packages], check=True)
    return options.python or os.environ.get("PHONAUT_PEER_PYTHON") or (str(own) if own.exists() else sys.executable)


def measure(options):
    """Measures part by part, and keeps what there is in the file after each: the last parts take an hour."""
    command = "./bench" + " --quick" * options.quick + f" --device {options.device}" * options.on_gpu
    found = {"format": results.FORMAT, "date": f"{datetime.date.today():%-d %B %Y}", "threads": options.threads,
             "machine": options.machine or (comparison.gpu() if options.on_gpu else comparison.machine()),
             "quick": options.quick, "only": options.only, "command": command}

    def keep():
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1))

    if options.on_gpu:
        say("-- the GPU's limits")
        found["device"] = options.device
        found["limits"] = gpu_limits(options)
        found["isa"] = found["limits"]["isa"]
        say(tables.gpu_limits_table(found["limits"]))
        keep()
        say("-- kernels")
        found["kernels"] = kernels(options, 1)
        say(tables.gpu_kernels_table(found["kernels"]))
        keep()
        if re.search(options.only, "ways"):
            say("-- ways beside each other")
            found["ways"] = gpu_ways(options)
            say(tables.gpu_ways_table(found["ways"]))
            keep()
        return beside_peers(options, found, list(GPU_PEERS), keep)
    say("-- the machine's limits")
    found["limits"] = limits(options)
    found["isa"] = found["limits"]["isa"]
    say(tables.limits_table(found))
    keep()
    say("-- kernels")
    found["kernels"] = [one for threads in options.threads for one in kernels(options, threads)]
    say(tables.kernels_table(found))
    keep()
    say("-- streams")
    found["realtime"] = realtime(options)
    say(tables.realtime_table(found))
    keep()
    if re.search(options.only, "size"):
        say("-- sizes")
        found["size"] = size.measure(ROOT, options.build, compiling=not options.quick)
        say(tables.size_table(found))
        keep()
    return beside_peers(options, found, PEERS, keep)


def beside_peers(options, found, keys, keep):
    if options.quick:
        say("left out: --quick measures nothing beside other libraries")
        return found
    python = peer_python(options)
    missing = {}
    for key in keys:
        if not re.search(options.only, f"peers/{key}"):
            continue
        say(f"-- beside other libraries: {key}")
        part, why = peers(options, key, python)
        if part:
            found.setdefault("peers", {})[key] = part
        else:
            missing[key] = why
        keep()
    for key, why in missing.items():
        say(f"{why}: the comparison {key}, as it said above")
    found["failed"] = [key for key, why in missing.items() if why != "left out"]
    return found


# ---- what is made of it ----

def draw(found, folder):
    if found.get("device", "cpu") != "cpu":
        return []  # the pictures' axes are those of processors
    drawn = {"roofline.svg": pictures.roofline(found), "ratios.svg": pictures.ratios(found)}
    for name, picture in drawn.items():
        if picture:
            (folder / name).write_text(picture)
    return [name for name, picture in drawn.items() if picture]


def write_docs(found):
    text = DOCUMENT.read_text()
    for key, part in tables.parts(found).items():
        changed = tables.put(text, key, part)
        if changed is None:
            raise SystemExit(f"bench: {DOCUMENT} has no place marked <!-- {key} --> … <!-- /{key} -->")
        text = changed
    DOCUMENT.write_text(text)
    drawn = draw(found, DOCUMENT.parent)
    say(f"{DOCUMENT.relative_to(ROOT)} has {', '.join(tables.parts(found))}" + f"; pictures: {', '.join(drawn)}" * bool(drawn))


def profile(options):
    """{"format", …, "profile": [[title, [[group, share], …]], …]}, kept beside the results of the other parts."""
    found = {"format": results.FORMAT, "date": f"{datetime.date.today():%-d %B %Y}", "threads": [1], "isa": "cpu",
             "machine": options.machine or comparison.machine(), "command": "./bench --profile", "only": options.profile,
             "profile": profiles.profiles(options.build, options.profile)}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    kept = options.json.with_name("profile.json")
    kept.write_text(json.dumps(found, indent=1))
    say(f"\nShares: {kept}")
    return found


def main():
    options = options_of(sys.argv[1:])
    if options.profile is not None:
        found = profile(options)
        return write_docs(found) if options.write_docs is not None else None
    if options.write_docs and options.write_docs != pathlib.Path(""):
        return write_docs(results.read(options.write_docs))
    found = measure(options)
    failed = found.pop("failed", [])
    table = options.json.with_suffix(".md")
    table.write_text("\n\n".join(f"## {key}\n\n{text}" for key, text in tables.parts(found).items()) + "\n")
    made = draw(found, options.json.parent)
    say(f"\nNumbers: {options.json}\nTables: {table}" + "".join(f"\nPicture: {options.json.parent / name}" for name in made))
    if options.write_docs is not None:
        write_docs(found)
    if failed:
        sys.exit(f"bench: without {', '.join(failed)}")


if __name__ == "__main__":
    try:
        main()
    except NoGpu as reason:
        print(f"bench: {reason}", file=sys.stderr)
        sys.exit(NO_GPU)
    except results.Unreadable as reason:
        sys.exit(f"bench: {reason}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench: {error.cmd[0]} ended with status {error.returncode}")
