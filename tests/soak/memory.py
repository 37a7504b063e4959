"""Whether memory leaks, from samples of RssAnon and of what of it is in use (heap_bytes of the control socket).

RssAnon is what is in use, as far as it was touched, and freed memory between: up to 8 MB, for malloc gives back what
is more each minute. So a leak is looked for in what is in use: bounded tables fill in the first half hour of
load, and behind it the median of the slopes between all pairs of minutes (Theil and Sen) is the leak, whatever fewer
than three minutes in ten have lost or gained. How far RssAnon is above it has a bound.
"""
import itertools
import statistics

MB = 1 << 20
FILLED = 30  # minutes
LEAK = 0.5  # MB an hour
HOLES = 12.0  # MB, the median of a minute: 8, and what is freed within a minute or is not malloc's
SHORTEST = 50  # minutes of a run that says something


def minutes(samples, value):
    """(minute, median of value(sample) in MB) of each whole minute."""
    of = {}
    for sample in samples:
        of.setdefault(int(sample["t"] // 60), []).append(value(sample) / MB)
    last = max(of, default=0)
    return [(m, statistics.median(values)) for m, values in sorted(of.items()) if m < last]


def leak(samples):
    """MB an hour; None: the run was too short to say."""
    points = [(m, value) for m, value in minutes(samples, lambda s: s["used"]) if m >= FILLED]
    if not points or points[-1][0] < SHORTEST - 1:
        return None
    return 60 * statistics.median((b - a) / (y - x) for (x, a), (y, b) in itertools.combinations(points, 2))


def problems(samples):
    """What is wrong with the memory of a run, a line each."""
    found = []
    slope = leak(samples)
    if slope is not None and slope > LEAK:
        found.append(f"memory in use grows by {slope:.2f} MB an hour")
    found += [f"RssAnon is {freed:.1f} MB above what is in use, in minute {m}"
              for m, freed in minutes(samples, lambda s: s["rss"] - s["used"]) if freed > HOLES]
    return found
