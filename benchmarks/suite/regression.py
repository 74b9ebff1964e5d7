#!/usr/bin/env python3
"""Which works became slower between two runs of ./bench, wherever they ran.

    ./bench --compare OLD.json NEW.json [--threshold 0.15]

Times are multiplied by what the machine could do at that moment, as its probe beside each work tells: multiply-adds, or a
copy where memory is the limit. So a slow machine, or a busy hour, is not taken for slow code. A work counts as slower
when its least and its median time both are, by more than the threshold. Disturbed works are named and not judged.
Exit status: 0 if nothing is slower, 1 if something is, 2 if the files cannot be compared.
"""
import argparse
import sys

import results


def compare(old, new, threshold):
    """(lines to print, number of works that became slower)."""
    before, after = results.timed(old), results.timed(new)
    lines, slower, faster, unsure = [], [], [], []
    both = [name for name in before if name in after]
    for name in both:
        a, b = before[name], after[name]
        least, typical = b.effort(b.seconds) / a.effort(a.seconds), b.effort(b.median) / a.effort(a.median)
        if not (a.quiet and b.quiet):
            unsure.append(name)
        elif min(least, typical) > 1 + threshold:
            slower.append((min(least, typical), name))
        elif max(least, typical) < 1 / (1 + threshold):
            faster.append((max(least, typical), name))
    for word, found, order in (("slower", slower, True), ("faster", faster, False)):
        for ratio, name in sorted(found, reverse=order):
            lines.append(f"{word}: {name} takes {ratio:.2f} times what it took, measured by the machine's own speed")
    for name in unsure:
        lines.append(f"not judged: {name} was disturbed")
    for name in before:
        if name not in after:
            lines.append(f"missing: {name} is in the first file only")
    for name in after:
        if name not in before:
            lines.append(f"new: {name} is in the second file only")
    lines.append(f"{len(both) - len(unsure)} works compared, {len(slower)} slower and {len(faster)} faster by more than "
                 f"{threshold:.0%}")
    return lines, len(slower)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--threshold", type=float, default=0.15, help="0.15: works that take 15 %% more are slower")
    options = parser.parse_args()
    try:
        old, new = results.read(options.old), results.read(options.new)
        if old["isa"] != new["isa"]:
            raise results.Unreadable(f"{options.old} is about {old['isa']} and {options.new} about {new['isa']}: these are "
                                     "different kernels")
        lines, slower = compare(old, new, options.threshold)
        if lines[-1].startswith("0 works compared"):
            raise results.Unreadable(f"{options.old} and {options.new} have no work in common that was not disturbed")
    except results.Unreadable as reason:
        print(f"bench: {reason}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    main()
