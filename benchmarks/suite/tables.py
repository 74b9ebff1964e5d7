"""What ./bench and benchmarks/peers/compare_* measured, in words: the generated parts of docs/performance.md.

A generated part stands between the marks `<!-- key -->` and `<!-- /key -->`; everything else on the page is written by hand.
"""
import math
import re

from results import limit_of, median


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def milliseconds(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def table(head, rows):
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def share_of_limit(row):
    """(share, of what), or None where the work does not say what it must do."""
    rate, name, amount = limit_of(row["flops"], row["bytes"], row["threads"], row["machine"], row.get("device", "cpu"))
    return (amount / (min(row["ours"]) * rate), name) if amount else None


def ratios(row):
    """Of least and of median times; above 1, phonaut is faster."""
    return min(row["theirs"]) / min(row["ours"]), median(row["theirs"]) / median(row["ours"])


def limit_cell(row):
    if row.get("ops"):
        return f"{1e9 * min(row['ours']) / row['ops']:.0f} ns an op, peer {1e9 * min(row['theirs']) / row['ops']:.0f}"
    share = share_of_limit(row)
    return f"{share[0]:.0%} of {share[1]}" if share else ""


def rows_table(rows):
    """Both sides of each work, in milliseconds, and which share of the machine's limit phonaut reaches. On a GPU there are
    no threads to tell."""
    rows = sorted(rows, key=lambda row: row["threads"])
    limits = [limit_cell(row) for row in rows]
    on_cpu = [True] * any(row.get("device", "cpu") == "cpu" for row in rows)
    lines = []
    for row, limit in zip(rows, limits):
        cells = [" / ".join(milliseconds(f(row[side])) for f in (min, median)) for side in ("ours", "theirs")]
        ratio = " / ".join(f"{r:.2f}" for r in ratios(row))
        lines.append([row["work"], *[str(row["threads"]) for _ in on_cpu], cells[0], row["peer"], cells[1],
                      f"**{ratio}**" if row["quiet"] else f"({ratio}: disturbed)", f"{row['kept']} of {row['rounds']}",
                      *[limit] * any(limits)])
    return table(["work", *["threads" for _ in on_cpu], "phonaut, ms (min / median)", "peer", "its ms (min / median)",
                  "ratio (min / median)", "rounds that count", *["of the limit"] * any(limits)], lines)


def measured_line(part):
    return f"Measured {part['date']} on {part['machine']} with `{part['command']}`."


def section(part):
    """One comparison."""
    text = [measured_line(part), rows_table(part["rows"])]
    if any(not row["quiet"] for row in part["rows"]):
        text.append("Disturbed: hardly any round had the machine for itself, so that row is no result.")
    factors = {}
    for row in part["rows"]:
        if row.get("sound"):
            name = row["work"]
            if row.get("device", "cpu") == "cpu":
                name += f", {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
            factors[name] = min(min(row["ours"]) / row["sound"], factors.get(name, math.inf))
    if factors:
        text.append(f"Real-time factor: {'; '.join(f'{name}: {factor:.2g}' for name, factor in factors.items())}.")
    if part.get("memory"):
        text.append(table(["memory beyond weights, their gradients and input, MB", "phonaut", "PyTorch",
                           "phonaut / PyTorch"],
                          [[m["work"], f"{m['ours']:.0f}", f"{m['theirs']:.0f}", f"**{m['ours'] / m['theirs']:.2f}**"]
                           for m in part["memory"]]))
    if part.get("about"):
        text.append(part["about"])
    return "\n\n".join(text)


# ---- what ./bench itself measures ----

def limits_table(found):
    limits, threads = found["limits"], [str(n) for n in found["threads"]]
    head = ["limit", *[f"{n} thread{'s' if n != '1' else ''}" for n in threads]]
    rows = [[f"products in bf16, {name[5:]}" if name.startswith("bf16 ") else f"fp32 multiply-adds, {name}",
             *[f"{rate[n]:.0f} GFLOP/s" for n in threads]] for name, rate in limits["gflops"].items()]
    for name, level in limits["gbytes"].items():
        for what in ("read", "copy"):
            rows.append([f"{name}, {what}", *[f"{level[what][n]:.0f} GB/s" for n in threads]])
    return table(head, rows)


def kernel_share(kernel):
    rate, name, amount = limit_of(kernel["flops"], kernel["bytes"], kernel["threads"],
                                  [kernel["peak"], kernel["copy"], kernel["cached"]], kernel.get("device", "cpu"))
    return (amount / (kernel["seconds"] * rate), name) if amount else None


def largest_kernels(kernels):
    """Of each op and direction the case with most to compute, or to move: ((op, direction), kernel) by name."""
    best = {}

    def work(kernel):
        return kernel["flops"], kernel["bytes"]
    for kernel in kernels:
        key = (kernel["name"].split("/")[0], kernel["name"].rsplit("/", 1)[1])
        if kernel["threads"] == 1 and (key not in best or work(kernel) > work(best[key])):
            best[key] = kernel
    return sorted(best.items())


def kernels_table(found):
    rows = []
    for (op, direction), kernel in largest_kernels(found["kernels"]):
        share = kernel_share(kernel)
        size = kernel["name"][len(op) + 1:-len(direction) - 1]
        rows.append([f"{op}, {direction}", size, f"{1e6 * kernel['seconds']:.3g}",
                     f"{share[0]:.0%} of {share[1]}" if share else "", "" if kernel["quiet"] else "disturbed"])
    return table(["op", "size", "µs", "of the limit", ""], rows)


def realtime_table(found):
    rows = [[r["name"], str(r["threads"]), str(r["steps"]), f"{1e3 * r['sound']:.0f}",
             *[f"{1e3 * r[key]:.3g}" for key in ("p50", "p99", "most")], f"{r['mean'] / r['sound']:.4f}",
             "" if r["quiet"] else f"others took {r['waited']:.0%} of its time"] for r in found["realtime"]]
    return table(["stream", "threads", "steps", "sound a step, ms", "p50, ms", "p99, ms", "longest, ms",
                  "real-time factor", ""], rows)


def size_table(found):
    size = found["size"]
    rows = [[f"`{name}`, stripped", f"{bytes / 1e6:.2f} MB"] for name, bytes in size["programs"].items()]
    rows += [[f"kernels for {isa}: code and constants", f"{bytes / 1e6:.2f} MB"] for isa, bytes in size["kernels"].items()]
    rows += [[f"the rest of `libphonaut_cpu`", f"{size['rest'] / 1e6:.2f} MB"]]
    rows += [[f"compiling {what}, one core", f"{seconds:.1f} s"] for what, seconds in size.get("compiling", {}).items()]
    return table(["", ""], rows)


# ---- what ./bench --device cuda measures ----

def three_digits(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def gpu_limits_table(limits):
    rows = [[f"products in {name}", f"{three_digits(1e-3 * rate)} TFLOP/s"] for name, rate in limits["products"].items()]
    rows += [[f"a copy in {name}, {level['bytes'] / 2**20:.3g} MiB", f"{level['copy']:.0f} GB/s"]
             for name, level in limits["gbytes"].items()]
    return table(["limit", ""], rows)


def gpu_kernels_table(kernels):
    """All cases: what each reaches, and of what."""
    rows = []
    for kernel in sorted(kernels, key=lambda k: k["name"]):
        share = kernel_share(kernel)
        reached = (f"{three_digits(1e-12 * kernel['flops'] / kernel['seconds'])} TFLOP/s" if kernel["flops"]
                   else f"{three_digits(1e-9 * kernel['bytes'] / kernel['seconds'])} GB/s")
        rows.append([kernel["name"], three_digits(1e6 * kernel["seconds"]), reached if share else "",
                     f"{share[0]:.0%} of {share[1]}" if share else "", "" if kernel["quiet"] else "disturbed"])
    return table(["op, size, direction", "µs", "reached", "of the limit", ""], rows)


def gpu_ways_table(ways):
    """Whether the sizes chose well: the chosen way's time beside that of each, the quickest in bold."""
    rows = []
    for work in ways:
        named = {name: seconds for name, seconds in work["seconds"].items() if name != "chosen"}
        least = min(named.values())
        each = ", ".join(f"**{name} {three_digits(1e6 * seconds)}**" if seconds == least else f"{name} {three_digits(1e6 * seconds)}"
                         for name, seconds in named.items())
        rate = f"{three_digits(1e-12 * work['flops'] / least)} TFLOP/s" if work["flops"] else ""
        rows.append([work["work"], work["precision"], each, rate, f"{work['seconds']['chosen'] / least:.2f}"])
    return table(["work", "precision", "µs of each way", "of the quickest", "chosen / quickest"], rows)


def gpu_part(found):
    text = [measured_line(found), gpu_limits_table(found["limits"])]
    for part in found.get("peers", {}).values():
        text.append(section(part))
    if found.get("ways"):
        text.append(gpu_ways_table(found["ways"]))
    if found.get("kernels"):
        text.append(gpu_kernels_table(found["kernels"]))
    return "\n\n".join(text)


def profile_table(found):
    return table(["work, one thread", "where its time goes"],
                 [[title, "; ".join(f"{name} {share:.0%}" for name, share in shares)] for title, shares in found["profile"]])


PARTS = {"profile": profile_table, "limits": limits_table, "kernels": kernels_table, "realtime": realtime_table, "size": size_table}


def parts(found):
    """Marked place -> text, of everything that was measured. Pictures (pictures.py) lie beside the page."""
    import goals
    if found.get("device", "cpu") != "cpu":
        return {"gpu": gpu_part(found)}
    line, only = measured_line(found), found.get("only", "")
    texts = {key: f"{line}\n\n{make(found)}" for key, make in PARTS.items() if found.get(key)}
    if not re.search(only, "limits"):  # measured for the sake of the other parts
        texts.pop("limits", None)
    if "kernels" in texts:
        texts["kernels"] += "\n\n![Kernels on one thread beside the limits of the machine](roofline.svg)"
    texts |= {key: section(part) for key, part in found.get("peers", {}).items()}
    if found.get("peers") and not only:  # a part of a run says nothing about most goals
        texts["goals"] = f"{line}\n\n{goals.table_of(found)}"
        if any(row["quiet"] for part in found["peers"].values() for row in part["rows"]):
            texts["goals"] += "\n\n![How many times as fast as its peers phonaut is](ratios.svg)"
    return texts


def put(document, key, text):
    """The document with `text` between the marks of `key`; None if it has no such place."""
    marked = re.compile(rf"(<!-- {key} -->\n).*(<!-- /{key} -->)", re.DOTALL)
    return marked.sub(lambda m: f"{m[1]}{text}\n{m[2]}", document) if marked.search(document) else None
