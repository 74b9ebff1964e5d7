"""What the compare_* programs share: competitors that run in turn, rounds, and a table. Python's own library only.

Two programs that are timed one after the other meet two different machines. Here both stay alive and warm and work in
turn, a little each, so that noise falls on both.

That is not enough where others use the machine: a call of 3 ms often fits between two interruptions and one of 160 ms
never does, so that the ratio of minima praises whoever has the shorter calls. The kernel counts how long each CPU works,
how long each process does, and how long its threads were ready and had none. Others disturbed a competitor for as long
as both they worked on its CPUs and it waited: who uses a CPU that a competitor leaves idle takes nothing from it, and a
peer whose own threads are more than the CPUs makes itself wait. A round of a row counts only if that was less than a
twentieth of the time of the CPUs in use, and if the machine's peak, probed before and after it, is within a tenth of its
best. If hardly any round is like that, all are kept, and the row says that it was disturbed and is no result.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/suite"))
import tables

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Absent(Exception):
    """A competitor cannot take part; the message says why."""


def device_named(text):
    """"cpu" or "cuda" of what --device says. Programs that are started from now on see the GPU that "cuda:N" means and no
    other, so that theirs and ours are the same one."""
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"a device is cpu, cuda or cuda:N, not '{text}'")
    if text == "cpu":
        return text
    seen, index = os.environ.get("CUDA_VISIBLE_DEVICES"), int(match[1] or 0)
    devices = seen.split(",") if seen else [str(i) for i in range(index + 1)]
    if index >= len(devices):
        raise argparse.ArgumentTypeError(f"device {index} was asked for, but CUDA_VISIBLE_DEVICES is {seen}")
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[index]
    return "cuda"


class Competitor:
    """A program that speaks as peers/served.py says, on CPUs of its own choice of number; None: on all, as beside a GPU,
    which is fed by more than one thread."""

    def __init__(self, command, threads):
        self.cpus = cpus = sorted(os.sched_getaffinity(0))[:threads]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads or len(cpus)),
                           MKL_NUM_THREADS=str(threads or len(cpus)),
                           # A warm allocator, as phonaut's pool is one: memory stays with the process, so that nobody
                           # pays for fresh pages in every step.
                           MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 40), MALLOC_TOP_PAD_=str(64 << 20))
        try:
            self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            text=True, env=environment,
                                            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        except OSError as error:
            raise Absent(f"{command[0]} cannot be started: {error.strerror}") from None
        self.about = self._answer()

    def timed(self, name, count):
        """Mean seconds of `count` calls, and which share of its CPUs' time others took from it meanwhile."""
        all_before, own_before, waited_before = busy_seconds(self.cpus), self.used_seconds(), self.waited_seconds()
        seconds = self.ask(name, count)
        others = busy_seconds(self.cpus) - all_before - (self.used_seconds() - own_before)
        # The kernel counts in ticks: one per CPU, at either end, is no disturbance.
        taken = min(others - 2 * TICK * len(self.cpus), self.waited_seconds() - waited_before)
        return statistics.fmean(seconds), max(0, taken) / (sum(seconds) * len(self.cpus))

    def used_seconds(self):
        """CPU time of all its threads so far; 0 where the kernel does not tell."""
        try:
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0
        return TICK * (int(fields[11]) + int(fields[12]))

    def waited_seconds(self):
        """How long its threads were ready to run and had no CPU, so far; infinite where the kernel does not tell."""
        try:
            return sum(1e-9 * int(task.read_text().split()[1])
                       for task in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"))
        except (OSError, IndexError, ValueError):
            return float("inf")

    def ask(self, name, count=1):
        self.process.stdin.write(f"{name} {count}\n")
        self.process.stdin.flush()
        answer = self._answer()
        if isinstance(answer, dict):
            raise Absent(answer["error"])
        return answer

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Absent(f"{shlex.join(map(str, self.process.args))} ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def busy_seconds(cpus):
    """What these CPUs worked so far, for anybody, this machine's host included; 0 where the kernel does not tell."""
    try:
        lines = pathlib.Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0
    names = {f"cpu{i}" for i in cpus}
    # user, nice, system, idle, waiting for a disk, interrupts (2), stolen by the host
    counts = [[int(n) for n in line.split()[1:9]] for line in lines if line.split()[:1] and line.split()[0] in names]
    return TICK * sum(sum(c) - c[3] - c[4] for c in counts)


def arguments(description, rounds=9):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="phonaut's build folder")
    parser.add_argument("--python", default=os.environ.get("PHONAUT_PEER_PYTHON", sys.executable),
                        help="an interpreter that has the peers' packages (also: PHONAUT_PEER_PYTHON)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--calls", type=int, help="calls per round and competitor")
    parser.add_argument("--device", type=device_named, default="cpu", help="cpu, or cuda or cuda:N for a GPU")
    parser.add_argument("--machine", help="how the table calls this machine")
    parser.add_argument("--write", type=pathlib.Path, nargs="?", const=ROOT / "docs/performance.md",
                        help="put the table into this document, docs/performance.md if none is named")
    parser.add_argument("--json", type=pathlib.Path, help="put what was measured into this file")
    return parser


def parsed(parser):
    """The options, with what depends on the device. Of a GPU there are no numbers of threads to choose from."""
    options = parser.parse_args()
    options.machine = options.machine or (machine() if options.device == "cpu" else gpu())
    if options.device != "cpu":
        options.threads = [1]
        if options.write:
            parser.error("./bench --device cuda --write-docs writes what a GPU does; this writes about processors")
    return options


def contest(options, ours, theirs, threads):
    """Both competitors, warm."""
    cpus = threads if options.device == "cpu" else None
    return (Competitor([*ours, "--threads", threads], cpus),
            Competitor([*theirs, "--threads", threads, *on_device(options)], cpus))


def on_device(options):
    """How a peer is told where to work."""
    return ["--device", options.device] if options.device != "cpu" else []


def gpu():
    """What CUDA shows first, in words."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    try:
        said = subprocess.run(["nvidia-smi", f"--id={first}", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    except OSError:
        said = ""
    name, _, driver = said.strip().partition(", ")
    return f"one {name}, driver {driver}" if driver else "one NVIDIA GPU"


def machine():
    try:
        names = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else 'an unknown processor'}"


def program(options, name):
    name += "" if options.device == "cpu" else "-cuda"
    path = options.build / "benchmarks" / name
    if not path.exists():
        raise Absent(f"{path} is not there; build it with: cmake --build --preset release --target {name}")
    return path


def checked(command):
    """Runs a check to its end and shows what it says; Absent unless it is content."""
    try:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        raise Absent(f"{command[0]} cannot be started: {error.strerror}") from None
    print(done.stdout, end="")
    if done.returncode:
        raise Absent(f"{shlex.join(map(str, command))} ended with status {done.returncode}")


def versus(rows, ours, theirs, options, calls=None):
    """Times `rows` (label, name for ours, name for theirs) in turn, ours and theirs alternating as the first; labels may
    repeat. Returns row -> what was found: `ours` and `theirs` in seconds per call, round by round; how many rounds were
    `kept` of how many `rounds`; whether these were `quiet`; and what the `machine` can do at best (see `probe` of
    benchmarks/served.hpp), per second. Without `calls` there are as many as take a tenth of a second."""
    rows, sides = [tuple(row) for row in rows], [(ours, 1), (theirs, 2)]
    counts, samples, best = {}, {row: [] for row in rows}, [0, 0, 0]
    for row in rows:  # warm up
        slowest = max(statistics.fmean(competitor.ask(row[name], calls or 1)) for competitor, name in sides)
        counts[row] = calls or max(1, min(200, round(0.1 / slowest)))

    def probe():
        now = ours.ask("probe")
        best[:] = map(max, best, now)
        return now[0]
    for i in range(options.rounds):
        before = probe()
        for row in rows:
            taken, seconds = 0, {}
            for competitor, name in (sides if i % 2 == 0 else reversed(sides)):
                seconds[name], others = competitor.timed(row[name], counts[row])
                taken = max(taken, others)
            after = probe()
            samples[row].append((min(before, after), taken, seconds))
            before = after
    found = {}
    for row in rows:
        kept = [seconds for peak, taken, seconds in samples[row] if peak >= 0.9 * best[0] and taken <= 0.05]
        quiet = len(kept) >= min(3, options.rounds)
        if not quiet:
            kept = [seconds for _, _, seconds in samples[row]]
        found[row] = {"ours": [s[1] for s in kept], "theirs": [s[2] for s in kept], "rounds": options.rounds,
                      "kept": len(kept) if quiet else 0, "quiet": quiet, "machine": [1e9 * limit for limit in best]}
    return found


def row_of(threads, work, peer, found, flops=0, moved=0, **more):
    """A row of the results: what `versus` found, and how much the work must compute or move. `more`: `ops` whose cost a
    row tells, seconds of `sound` that a call deals with, the `device` if that is no processor."""
    return {"threads": threads, "work": work, "peer": peer, **found, "flops": flops or 0, "bytes": moved or 0, **more}


def compare_works(key, description, rounds=9):
    """The whole of a comparison of phonaut-bench-KEY with KEY_peers.py: every work that a peer knows is a row."""
    parser = arguments(description, rounds=rounds)
    parser.add_argument("--only", nargs="+", default=[""], help="works whose names begin so")
    options = parsed(parser)
    ours = program(options, f"phonaut-bench-{key}")
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/{key}.safetensors"
        checked([ours, "export", file])
        peers = [options.python, pathlib.Path(__file__).resolve().parent / f"{key}_peers.py", file, "--only", *options.only]
        checked([*peers, "--check", *on_device(options)])
        for threads in options.threads:
            a, b = contest(options, [ours, "serve"], peers, threads)
            rows = [(a.about["titles"][work], work, theirs, peer) for work, theirs, peer in b.about["rows"]
                    if work in a.about["titles"] and work.startswith(tuple(options.only))]
            found = versus(rows, a, b, options, options.calls)
            a.close(), b.close()
            part = []
            for row in rows:
                title, work, _, peer = row
                ops = a.about["ops"][work]
                part.append(row_of(threads, title, peer, found[row], a.about["flops"][work], a.about["bytes"][work],
                                   **({"ops": ops} if ops else {})))
            measured += part
            print(tables.rows_table(part), flush=True)
    report(options, key, measured, about=f"{a.about['isa']}.")


def report(options, key, rows, **more):
    """Shows the rows as a table; puts it between the marks of `key` in the document, and all of it into a file, if
    asked."""
    if not rows:
        raise Absent("nothing was measured")
    command = f"benchmarks/peers/{pathlib.Path(sys.argv[0]).name}"
    if options.device != "cpu":
        command += f" --device {options.device}"
        rows = [{**row, "device": options.device} for row in rows]
    section = {"key": key, "date": f"{datetime.date.today():%-d %B %Y}", "machine": options.machine, "command": command,
               "rows": rows, **more}
    text = tables.section(section)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(section))
    if options.write:
        document = tables.put(options.write.read_text(), key, text)
        if document is None:
            raise SystemExit(f"{options.write} has no place marked <!-- {key} --> … <!-- /{key} -->")
        options.write.write_text(document)


def run(main):
    try:
        main()
    except Absent as reason:
        print(f"left out: {reason}", file=sys.stderr)
        sys.exit(77)  # what CTest and automake take for "skipped"
