"""Figures of several rounds, and tables of them."""
import datetime
import os
import pathlib
import platform
import re
import statistics

from rows.servers import versions


def cell(figures, digits=1):
    """The median, and in brackets the least and the most."""
    if not figures:
        return "–"
    if len(figures) == 1:
        return f"{figures[0]:.{digits}f}"
    return f"{statistics.median(figures):.{digits}f} ({min(figures):.{digits}f}–{max(figures):.{digits}f})"


def ratio(figures, other):
    if not figures or not other:
        return "–"
    return f"{statistics.median(figures) / statistics.median(other):.2f}"


def table(head, lines):
    rows = ["| " + " | ".join(row) + " |" for row in (head, *lines)]
    return "\n".join([rows[0], "|---" * len(head) + "|", *rows[1:]])


def where(how):
    cpuinfo = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return (f"Measured {datetime.date.today()}, {os.cpu_count()} × {cpuinfo.group(1) if cpuinfo else platform.machine()}, "
            f"Linux {platform.release()}, {versions()}; {how}.")


def interleave(rounds, measures):
    """measures: {name: function that measures once}. By name, the figures of all rounds."""
    figures = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            figures[name].append(measure())
    return figures
