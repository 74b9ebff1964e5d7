"""What the compare_* programs share: competitors that run in turn, rounds, and a table. Python's own library only.

Two programs that are timed one after the other meet two different machines. Here both stay alive and warm and work in
turn, a little each, so that noise falls on both.

That is not enough where others use the machine: a call of 3 ms often fits between two interruptions and one of 160 ms
never does, so that the ratio of minima praises whoever has the shorter calls. The kernel counts how long each CPU works
and how long each process does; a round counts only if others had less than a twentieth of the time of the CPUs in use,
and if the machine's peak, probed before and after it, is within a tenth of its best. If hardly any round is like that,
all are kept, and the table says that its numbers mean little. (How long threads wait for a CPU would not do: a peer
whose own threads are more than the CPUs makes itself wait.)
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Absent(Exception):
    """A competitor cannot take part; the message says why."""


class Competitor:
    """A program that speaks as peers/served.py says, on CPUs of its own choice of number."""

    def __init__(self, command, threads):
        self.cpus = cpus = sorted(os.sched_getaffinity(0))[:threads]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
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
        all_before, own_before = busy_seconds(self.cpus), self.used_seconds()
        seconds = self.ask(name, count)
        others = busy_seconds(self.cpus) - all_before - (self.used_seconds() - own_before)
        # The kernel counts in ticks: one per CPU, at either end, is no disturbance.
        return statistics.fmean(seconds), max(0, others - 2 * TICK * len(self.cpus)) / (sum(seconds) * len(self.cpus))

    def used_seconds(self):
        """CPU time of all its threads so far; 0 where the kernel does not tell."""
        try:
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0
        return TICK * (int(fields[11]) + int(fields[12]))

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
    parser.add_argument("--machine", default=machine(), help="how the table calls this machine")
    parser.add_argument("--write", type=pathlib.Path, nargs="?", const=ROOT / "docs/performance.md",
                        help="put the table into this document, docs/performance.md if none is named")
    return parser


def machine():
    try:
        names = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else 'an unknown processor'}"


def program(options, name):
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


def versus(rows, ours, theirs, options, calls):
    """Times `rows` (label, name for ours, name for theirs) in turn, ours and theirs alternating as the first. Returns
    seconds per call, round by round, as label -> (list of ours, list of theirs), and a note about the rounds that
    count."""
    sides = [(ours, 1), (theirs, 2)]
    for competitor, name in sides:  # warm up
        for row in rows:
            competitor.ask(row[name], calls)
    rounds = []
    for i in range(options.rounds):
        peak, taken, seconds = ours.ask("probe")[0], 0, {}
        for row in rows:
            for competitor, name in (sides if i % 2 == 0 else reversed(sides)):
                seconds[row[0], name], others = competitor.timed(row[name], calls)
                taken = max(taken, others)
        rounds.append((min(peak, ours.ask("probe")[0]), taken, seconds))
    best = max(peak for peak, _, _ in rounds)
    quiet = [seconds for peak, taken, seconds in rounds if peak >= 0.9 * best and taken <= 0.05]
    note = f"{len(quiet)} of {options.rounds} rounds"
    if len(quiet) < 3:
        quiet = [seconds for _, _, seconds in rounds]
        note = (f"none: **others used the machine** (up to {max(taken for _, taken, _ in rounds):.0%} of its time, peaks "
                f"from {min(r[0] for r in rounds):.0f} to {best:.0f} GFLOP/s), so these {options.rounds} rounds are no result")
    return {row[0]: tuple([s[row[0], side] for s in quiet] for side in (1, 2)) for row in rows}, note


def milliseconds(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def table(measured):
    """`measured`: list of (threads, work, peer, seconds of ours, seconds of theirs)."""
    lines = ["| work | threads | phonaut, ms (min / median) | peer | its ms (min / median) | ratio (min / median) |",
             "|---|---|---|---|---|---|"]
    for threads, work, peer, ours, theirs in sorted(measured, key=lambda m: m[0]):
        cells = [[min(s), statistics.median(s)] for s in (ours, theirs)]
        both = [" / ".join(map(milliseconds, cell)) for cell in cells]
        ratio = " / ".join(f"{their / our:.2f}" for our, their in zip(*cells))
        lines.append(f"| {work} | {threads} | {both[0]} | {peer} | {both[1]} | **{ratio}** |")
    return "\n".join(lines)


def report(options, key, text):
    """Shows the text, and puts it between the marks `<!-- key -->` and `<!-- /key -->` of the document, if asked."""
    command = f"benchmarks/peers/{pathlib.Path(sys.argv[0]).name}"
    text = f"Measured {datetime.date.today():%-d %B %Y} on {options.machine} with `{command}`.\n\n{text}\n"
    print(text)
    if not options.write:
        return
    document = options.write.read_text()
    marked = re.compile(rf"(<!-- {key} -->\n).*(<!-- /{key} -->)", re.DOTALL)
    if not marked.search(document):
        raise SystemExit(f"{options.write} has no place marked <!-- {key} --> … <!-- /{key} -->")
    options.write.write_text(marked.sub(lambda m: m[1] + text + m[2], document))


def run(main):
    try:
        main()
    except Absent as reason:
        print(f"left out: {reason}", file=sys.stderr)
        sys.exit(77)  # what CTest and automake take for "skipped"
