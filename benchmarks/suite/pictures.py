"""Pictures of a run of ./bench, as SVG: a roofline with every op as a dot, and bars of how many times as fast as each peer
phonaut is. Python's own library only."""
import math
from xml.sax.saxutils import escape

import tables
from tables import geometric_mean, largest_kernels

FONT = "font-family='Helvetica, Arial, sans-serif'"
LABEL = 10.5  # from one name to the next
COLOURS = {"forward": "#1b6ca8", "forward+backward": "#c8553d"}


class Canvas:
    def __init__(self, width, height):
        self.size, self.parts = (width, height), []

    def add(self, shape):
        self.parts.append(shape)

    def text(self, x, y, text, size=11, anchor="start", colour="#222", turn=None):
        turned = f" transform='rotate({turn} {x:.1f} {y:.1f})'" if turn is not None else ""
        self.add(f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' text-anchor='{anchor}' "
                 f"fill='{colour}'{turned}>{escape(text)}</text>")

    def line(self, x1, y1, x2, y2, colour="#999", width=1.0, dashed=False):
        dash = " stroke-dasharray='4 3'" if dashed else ""
        self.add(f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' "
                 f"stroke-width='{width}'{dash}/>")

    def dot(self, x, y, colour, title, radius=3.5):
        self.add(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}' fill='{colour}' fill-opacity='0.8'>"
                 f"<title>{escape(title)}</title></circle>")

    def bar(self, x, y, width, height, colour, title):
        self.add(f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0.5):.1f}' height='{height:.1f}' fill='{colour}'>"
                 f"<title>{escape(title)}</title></rect>")

    def svg(self):
        width, height = self.size
        return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
                f"viewBox='0 0 {width} {height}'>\n<rect width='{width}' height='{height}' fill='white'/>\n"
                + "\n".join(self.parts) + "\n</svg>\n")


def decades(low, high):
    return [10.0 ** e for e in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def spread(places, gap, top, bottom):
    """Heights near the wanted ones, in their order, at least `gap` apart."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    heights, last = [0.0] * len(places), top - gap
    for i in order:
        last = heights[i] = max(places[i], last + gap)
    last = bottom + gap
    for i in reversed(order):
        last = heights[i] = min(heights[i], last - gap)
    return heights


def dots_of(found):
    """(op, direction, operations a byte, GFLOP/s) of the largest case of each op whose operations are counted."""
    return [(op, direction, k["flops"] / k["bytes"], 1e-9 * k["flops"] / k["seconds"])
            for (op, direction), k in largest_kernels(found.get("kernels", [])) if k["flops"] > 0 and k["bytes"] > 0]


def roofline(found):
    """Left: operations a second against operations a byte, where operations are counted. Right: bytes a second of the ops
    that memory limits, against what a copy brings."""
    kernels = largest_kernels(found.get("kernels", []))
    if not kernels:
        return None
    limits = found["limits"]
    one = str(found["threads"][0])
    counted = dots_of(found)
    moved = [(op, direction, k["bytes"], 1e-9 * k["bytes"] / k["seconds"])
             for (op, direction), k in kernels if k["flops"] == 0 and k["bytes"] > 0]
    bottom = 60 + max(520, LABEL * max(len(counted), len(moved)))
    canvas = Canvas(1280, bottom + 50)
    canvas.text(20, 26, f"Kernels on one thread beside the limits of the machine ({found['machine']}, {found['isa']})", 15)
    roof(canvas, limits, one, counted, bottom)
    slopes(canvas, limits, one, moved, bottom)
    for i, (direction, colour) in enumerate(COLOURS.items()):
        canvas.dot(900 + 150 * i, 22, colour, direction)
        canvas.text(910 + 150 * i, 26, direction.replace("+", " + "))
    return canvas.svg()


def axes(canvas, box, across, up, x_title, y_title):
    """Draws them, and returns the two functions from a number to a place. Both are logarithmic."""
    left, top, right, bottom = box

    def x_of(v):
        return left + (right - left) * math.log(v / across[0]) / math.log(across[1] / across[0])

    def y_of(v):
        return bottom - (bottom - top) * math.log(v / up[0]) / math.log(up[1] / up[0])
    for v in decades(*across):
        canvas.line(x_of(v), top, x_of(v), bottom, "#e5e5e5")
        canvas.text(x_of(v), bottom + 16, f"{v:g}" if v < 1e4 else f"1e{round(math.log10(v))}", anchor="middle")
    for v in decades(*up):
        canvas.line(left, y_of(v), right, y_of(v), "#e5e5e5")
        canvas.text(left - 6, y_of(v) + 4, f"{v:g}", anchor="end")
    canvas.text((left + right) / 2, bottom + 36, x_title, 12, "middle")
    canvas.text(left - 40, (top + bottom) / 2, y_title, 12, "middle", turn=-90)
    return x_of, y_of


def labelled(canvas, dots, x_of, y_of, right, top, bottom):
    """Dots, each with a line to its name at the right."""
    heights = spread([y_of(y) for *_, y in dots], LABEL, top, bottom)
    for (op, direction, x, y), height in zip(dots, heights):
        colour = COLOURS[direction]
        canvas.line(x_of(x), y_of(y), right + 6, height, "#dddddd", 0.6)
        canvas.dot(x_of(x), y_of(y), colour, f"{op}, {direction}: {y:.3g}")
        canvas.text(right + 9, height + 3, op, 9, colour=colour)


def roof(canvas, limits, one, dots, bottom):
    peaks = {name: rate[one] for name, rate in limits["gflops"].items() if not name.startswith("bf16 ")}
    memory = {name: level["read"][one] for name, level in limits["gbytes"].items()}
    high = 2 * max([*peaks.values(), *[y for *_, y in dots]])
    low = min([1, *[0.5 * y for *_, y in dots]])
    across = (min([0.05, *[0.5 * x for _, _, x, _ in dots]]), max([1000, *[2 * x for _, _, x, _ in dots]]))
    box = (70, 60, 560, bottom)
    x_of, y_of = axes(canvas, box, across, (low, high), "operations a byte", "GFLOP/s")
    best = max(peaks.values())
    for name, peak in peaks.items():
        start = max(across[0], peak / max(memory.values()))
        canvas.line(x_of(start), y_of(peak), box[2], y_of(peak), "#444", 1.4)
        canvas.text(box[2] - 4, y_of(peak) - 4, f"{name}: {peak:.0f} GFLOP/s", 10, "end")
    for name, rate in memory.items():
        # From the left or lower edge to where the highest peak begins.
        start, end = max(across[0], low / rate), min(across[1], best / rate)
        canvas.line(x_of(start), y_of(start * rate), x_of(end), y_of(end * rate), "#777", 1.0, dashed=True)
        rise = math.degrees(math.atan2(y_of(start * rate) - y_of(end * rate), x_of(end) - x_of(start)))
        canvas.text(x_of(start) + 2, y_of(start * rate) - 6, f"{name}: {rate:.0f} GB/s", 9, colour="#555", turn=-rise)
    labelled(canvas, dots, x_of, y_of, box[2], box[1], box[3])


def slopes(canvas, limits, one, dots, bottom):
    copies = {name: (level["bytes"], level["copy"][one]) for name, level in limits["gbytes"].items()}
    high = 2 * max([rate for _, rate in copies.values()] + [y for *_, y in dots])
    low = min([1, *[0.5 * y for *_, y in dots]])
    across = (min([1e3, *[0.5 * x for _, _, x, _ in dots]]), max([1e9, *[2 * x for _, _, x, _ in dots]]))
    box = (760, 60, 1130, bottom)
    x_of, y_of = axes(canvas, box, across, (low, high), "bytes that the op must move", "GB/s")
    last = across[0]
    for name, (size, rate) in copies.items():
        end = across[1] if name == "memory" else min(across[1], 2 * size)  # arrays fill half of a level
        if end > last:
            canvas.line(x_of(last), y_of(rate), x_of(end), y_of(rate), "#444", 1.4)
            canvas.text(x_of(last) + 3, y_of(rate) - 4, f"copy, {name}: {rate:.0f} GB/s", 9)
            last = end
    labelled(canvas, dots, x_of, y_of, box[2], box[1], box[3])


def ratios_by_work(found):
    """(comparison, peer) -> works with their ratio on each number of threads."""
    groups = {}
    for key, part in found.get("peers", {}).items():
        for row in part["rows"]:
            if row["quiet"]:
                works = groups.setdefault((key, row["peer"]), {})
                works.setdefault(row["work"], {})[row["threads"]] = tables.ratios(row)[0]
    return groups


def ratios(found):
    """A bar for each work beside each peer, on one thread; a mark where it is on more."""
    groups = ratios_by_work(found)
    if not groups:
        return None
    most = found["threads"][-1]
    height = 70 + sum(26 + 13 * len(works) for works in groups.values())
    canvas = Canvas(1100, height)
    largest = max(r for works in groups.values() for by in works.values() for r in by.values())
    left, right = 470, 1060
    edge = max(2.0, 1.1 * largest)

    def x_of(ratio):
        return left + (right - left) * math.log(max(ratio, 0.5) / 0.5) / math.log(edge / 0.5)
    canvas.text(20, 26, f"How many times as fast as its peers phonaut is ({found['machine']})", 15)
    canvas.text(20, 44, f"bars: least times on one thread; marks: on {most}; 1 is equal speed", 11, colour="#555")
    for tick in (0.5, 1, 2, 4, 8, 16, 32, 64, 128):
        if tick <= edge:
            canvas.line(x_of(tick), 58, x_of(tick), height - 10, "#222" if tick == 1 else "#e0e0e0")
            canvas.text(x_of(tick), 55, f"{tick:g}", 10, "middle")
    y = 76
    for (key, peer), works in groups.items():
        firsts = [next(iter(by.values())) for by in works.values()]
        canvas.text(20, y, f"{key} beside {peer}: {geometric_mean(firsts):.2f} on geometric average", 11)
        y += 6
        for work, by in works.items():
            ratio = next(iter(by.values()))
            colour = "#3a8f5c" if ratio >= 1 else "#c8553d"
            start, end = sorted((x_of(1), x_of(ratio)))
            canvas.text(left - 6, y + 9, work[:78], 9, "end", "#444")
            canvas.bar(start, y + 1, end - start, 9, colour, f"{work}: {ratio:.2f}")
            if by.get(most) and len(by) > 1:
                canvas.line(x_of(by[most]), y, x_of(by[most]), y + 11, "#111", 1.6)
            canvas.text(max(end, x_of(by.get(most, ratio))) + 4, y + 9, f"{ratio:.2f}", 9)
            y += 13
        y += 20
    return canvas.svg()
