"""The side of a peer that answers: one process per competitor stays alive and warm, and works only when it is asked.

On standard input come lines `NAME COUNT`; the answer is one line of JSON, the seconds of COUNT calls, or `{"error": …}`.
The first line that a process writes is a JSON object about itself with a list `work` of the names that it knows.
Programs of phonaut speak the same (benchmarks/served.hpp).
"""
import json
import sys
import time


def serve(work, about, wait=None):
    """`work`: name -> list of functions without arguments, which are called in turn, going on where the last request
    ended. `wait`, of work that goes on behind a call, returns when all of it is done: then every call is said to have taken
    the mean of all, up to the end of the last."""
    next_call = dict.fromkeys(work, 0)
    print(json.dumps({**about, "work": sorted(work)}), flush=True)
    for line in sys.stdin:
        name, count = line.split()
        if name not in work:
            print(json.dumps({"error": f"there is no work '{name}'"}), flush=True)
            continue
        seconds, calls = [], []
        for _ in range(int(count)):
            calls.append(work[name][next_call[name] % len(work[name])])
            next_call[name] += 1
        if wait:
            wait()
            start = time.perf_counter()
            for call in calls:
                call()
            wait()
            seconds = [(time.perf_counter() - start) / len(calls)] * len(calls)
        else:
            for call in calls:
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)
