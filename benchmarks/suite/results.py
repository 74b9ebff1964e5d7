"""What ./bench measured, as JSON: how it is read, and what in it can be held against another run.

    {"format": "phonaut-bench 1", "date": …, "machine": …, "isa": …, "threads": [1, 2], "quick": false,
     "device": "cuda",           of a run on a GPU, whose "isa" is "cuda" too
     "limits": {…},              what phonaut-bench-limits (on a GPU: -limits-cuda) prints
     "kernels": [{"name", "threads", "seconds" (least), "median", "flops", "bytes", "peak", "copy", "cached", "kept",
                  "rounds", "quiet"}],
     "peers": {"sigreg": {"key", "date", "machine", "command", "rows": […], …}},    as comparison.py writes them
     "realtime": [{"name", "threads", "steps", "p50", "p99", "most", "sound", "peak", "quiet"}],
     "ways": [{"work", "precision", "flops", "seconds": {"chosen": …, a way: …}}],    of a GPU
     "size": {…}}

Seconds are seconds, rates are per second; a part that was not measured is not there.
"""
import json
import pathlib

FORMAT = "phonaut-bench 1"


class Unreadable(Exception):
    """The message is one sentence about the file."""


def read(path):
    try:
        found = json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # of JSON and of UTF-8
        raise Unreadable(f"{path} is not JSON: {error}") from None
    got = found.get("format") if isinstance(found, dict) else None
    if got != FORMAT:
        raise Unreadable(f"{path} is no result of ./bench: its format should be '{FORMAT}' and is {json.dumps(got)}")
    try:
        str.upper(found["isa"])
        timed(found)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Unreadable(f"{path} is a damaged result of ./bench: {type(error).__name__} at {error}") from None
    return found


class Timed:
    """One time of one run, and what the machine could do at that moment."""

    def __init__(self, seconds, median, quiet, rate):
        self.seconds, self.median, self.quiet, self.rate = map(float, (seconds, median, quiet, rate))
        if not (self.seconds > 0 and self.median > 0 and self.rate > 0):
            raise ValueError(f"a time of {seconds} s on a machine that does {rate} a second")

    def effort(self, seconds):
        """What the machine could have done meanwhile: multiply-adds, or bytes of a copy where memory is the limit."""
        return seconds * self.rate


def limit_of(flops, moved, threads, machine, device="cpu"):
    """(rate, its name, amount): which limit of `machine` (operations, bytes of a copy in memory and in L2 per second) holds
    for a work, and how much of it the work needs at least. Products are held against multiply-adds, on a GPU against a large
    product of its library; what moves less than 1 MB a thread lies in L2, as benchmarks/cases.cpp has it too."""
    if flops or not moved:
        return machine[0], "fp32 peak" if device == "cpu" else "a large product", flops
    cached = moved < 1e6 * threads
    return machine[2 if cached else 1], f"a copy in {'L2' if cached else 'memory'}", moved


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def timed(results):
    """Everything of a run that took time, by name."""
    found = {}
    for k in results.get("kernels", []):
        rate, _, _ = limit_of(k["flops"], k["bytes"], k["threads"], [k["peak"], k["copy"], k["cached"]])
        found[f"kernels/{k['name']} on {k['threads']}"] = Timed(k["seconds"], k["median"], k["quiet"], rate)
    for key, section in results.get("peers", {}).items():
        for row in section["rows"]:
            rate, _, _ = limit_of(row["flops"], row["bytes"], row["threads"], row["machine"])
            name = f"peers/{key}/{row['work']} on {row['threads']}"
            one = Timed(min(row["ours"]), median(row["ours"]), row["quiet"], rate)
            # A work stands beside several peers; its best time is the one that says most.
            if name not in found or (one.quiet, -one.effort(one.seconds)) > (
                    found[name].quiet, -found[name].effort(found[name].seconds)):
                found[name] = one
    for r in results.get("realtime", []):
        found[f"realtime/{r['name']} on {r['threads']}"] = Timed(r["p50"], r["p50"], r["quiet"], r["peak"])
    return found
