#!/usr/bin/env python3
"""table.py SUMMARY LINES BRANCHES: gcovr's --json-summary as a table, the least covered files first; exit
status 1 where the total is below LINES or BRANCHES percent."""
import json
import sys


def part(row, what):
    covered, total = row[f"{what}_covered"], row[f"{what}_total"]
    return f"{100 * covered / total if total else 100:6.1f} % {covered:6} of {total:<6}"


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        summary = json.load(f)
    missed = lambda row: row["line_total"] - row["line_covered"] + row["branch_total"] - row["branch_covered"]
    print(f"{'lines':<26}{'branches':<26}file")
    for row in sorted(summary["files"], key=missed, reverse=True):
        print(f"{part(row, 'line'):<26}{part(row, 'branch'):<26}{row['filename']}")
    print(f"{part(summary, 'line'):<26}{part(summary, 'branch'):<26}in all")
    low = [f"{what}: less than {least} %" for what, least in (("line", sys.argv[2]), ("branch", sys.argv[3]))
           if summary[f"{what}_covered"] * 100 < summary[f"{what}_total"] * float(least)]
    print("\n".join(low), file=sys.stderr)
    sys.exit(1 if low else 0)


if __name__ == "__main__":
    main()
