"""Whether memory leaks, from samples of RssAnon.

Bounded tables fill in the first quarter of an hour of load. Then RssAnon goes up and down by some MB: malloc keeps up
to 8 MB of holes, and returns them to the system each minute. A leak moves all of it: the median of the slopes between
all pairs of minutes (Theil and Sen) is its size, whatever fewer than three minutes in ten have lost or gained.
"""
import itertools
import statistics

MB = 1 << 20
FILLED = 15  # minutes
LEAK = 1.0  # MB an hour; hours without a leak had 0.35 to 0.70
SHORTEST = 50  # minutes of a run that says something


def minutes(samples):
    """(minute, median RssAnon in MB) of each whole minute behind the first FILLED."""
    of = {}
    for sample in samples:
        of.setdefault(int(sample["t"] // 60), []).append(sample["rss"] / MB)
    last = max(of, default=0)
    return [(m, statistics.median(values)) for m, values in sorted(of.items()) if FILLED <= m < last]


def leak(samples):
    """MB an hour; None: the run was too short to say."""
    points = minutes(samples)
    if not points or points[-1][0] < SHORTEST - 1:
        return None
    return 60 * statistics.median((b - a) / (y - x) for (x, a), (y, b) in itertools.combinations(points, 2))


def grows(samples):
    """What is wrong with the memory of a run; "": nothing."""
    slope = leak(samples)
    return f"RssAnon grows by {slope:.2f} MB an hour" if slope is not None and slope > LEAK else ""
