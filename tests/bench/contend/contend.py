#!/usr/bin/env python3
"""Chats and tasks that want the same model: the real lulld in front of a scripted one with one slot, people
who play a session as Open WebUI 0.12 plays it, and beside it the same session without lull, through nginx,
without tasks, and with an oracle that runs tasks only in idle gaps. README.md says what is assumed.

usage: contend.py [--people 1,2,5] [--variants base,no-back+no-autocomplete,…] [--modes ...]
                  [--rounds N] [--scale 5] [--seed 1] [--jobs 6] [--json FILE] [--csv FILE] [--raw FOLDER]
LULL_BIN_DIR: the folder of lulld. Asserts nothing.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict

from physics import Physics
from report import figures, show, targets, verdict
from script import SOURCE

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ("direct", "nginx", "as-asked", "lull", "rewarm", "none", "idle")
MORE_MODES = ("chat",)  # not run unless asked for
VARIANTS = {"base": {}, "no-back": {"window": 128}, "host-cache": {"idle": 4}, "cache4": {"cache": 4},
            "first-token": {"notice": "first-token"}, "second": {}, "swap": {"swap": 3.0}, "no-autocomplete": {},
            "shared": {}}
SHARED = 1500  # tokens: tools and rules that stand before every conversation
TASKS = ("title", "follow_up", "tags", "autocomplete")
ROUNDS = {1: 8, 2: 5, 5: 2}
RUNNING = []  # the processes of the runs
LIMIT = 540  # seconds of the wall for one run


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--people", default="1,2,5")
    ap.add_argument("--variants", default="base", help=", ".join(VARIANTS) + "; a+b is both at once")
    ap.add_argument("--modes", default=",".join(MODES))
    ap.add_argument("--rounds", type=int, help="conversations of each person; as a rule 8, 5, 2 for 1, 2, 5 people")
    ap.add_argument("--scale", type=float, default=5.0, help="declared seconds in one of the wall's")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--window", type=int, default=VARIANTS["no-back"]["window"],
                    help="tokens that the slot of no-back can go back")
    ap.add_argument("--jobs", type=int, default=6, help="runs at once, each with a model of its own")
    ap.add_argument("--prompt-rate", type=float, default=Physics.prompt_rate)
    ap.add_argument("--pace", type=float, default=Physics.pace)
    ap.add_argument("--settle", type=float, default=1.0, help="declared seconds")
    ap.add_argument("--json")
    ap.add_argument("--csv")
    ap.add_argument("--raw", help="a folder for everything that was seen, one file per run")
    a = ap.parse_args()
    a.people, a.modes, a.variants = [int(p) for p in a.people.split(",")], a.modes.split(","), a.variants.split(",")
    parts = [part for variant in a.variants for part in variant.split("+")]
    for given, known in ((a.modes, MODES + MORE_MODES), (parts, VARIANTS)):
        unknown = [g for g in given if g not in known]
        if unknown:
            ap.error(f"{unknown[0]} is none of {', '.join(known)}")
    return a


def usable(modes):
    folders = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if "nginx" in modes and shutil.which("nginx", path=folders) is None:
        print("nginx is not installed: left out")
        return [m for m in modes if m != "nginx"]
    return modes


def physics_of(a, variant):
    parts = variant.split("+")
    more = {k: v for part in parts for k, v in VARIANTS[part].items()}
    if "no-back" in parts:
        more["window"] = a.window
    return Physics(prompt_rate=a.prompt_rate, pace=a.pace, **more)


def run_cell(a, mode, people, variant):
    parts = variant.split("+")
    asked = {"mode": mode, "people": people, "rounds": a.rounds or ROUNDS.get(people, 3), "seed": a.seed,
             "scale": a.scale, "second": "second" in parts, "limit": LIMIT, "settle": a.settle,
             "tasks": TASKS[:3] if "no-autocomplete" in parts else TASKS,
             "shared": SHARED if "shared" in parts else 0,
             "physics": asdict(physics_of(a, variant))}
    p = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "cell.py"), json.dumps(asked)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    RUNNING.append(p)
    try:
        out, err = p.communicate(timeout=LIMIT + 30)
    except subprocess.TimeoutExpired:
        p.terminate()
        out, err = p.communicate()
    RUNNING.remove(p)
    if p.returncode != 0:
        raise RuntimeError(f"{variant}, {people}, {mode}: {err[-3000:]}")
    return json.loads(out)


def stop(*_):
    """Signal handler: stops every run; each run stops what it started."""
    for p in RUNNING:
        p.terminate()
    sys.exit(143)


def write_raw(folder, name, cell):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
        json.dump(cell, f)


def scene(a, variant, people, modes):
    """All modes of one number of people and one variant; what is known of it."""
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        cells = list(pool.map(lambda mode: run_cell(a, mode, people, variant), modes))
    for cell in cells:
        if a.raw:
            write_raw(a.raw, f"{variant}-{people}-{cell['mode']}", cell)
    rows = [figures(cell, a.scale) for cell in cells]
    checks = targets(cells, rows, physics_of(a, variant).one_batch())
    binding = verdict(rows, people)
    sessions = len({(c["person"], c["session"]) for c in cells[0]["chats"]})
    show(f"{variant}, {people} {'person' if people == 1 else 'people'}: {sessions} conversations, "
         f"{len(cells[0]['chats'])} chats", rows, checks, binding)
    sys.stdout.flush()
    return {"variant": variant, "people": people, "binding": binding, "rows": rows, "targets": checks}


def flat(found):
    for s in found:
        for r in s["rows"]:
            row = {"variant": s["variant"], "people": s["people"]}
            row.update({k: v for k, v in r.items() if not isinstance(v, dict)})
            for kind, k in r["kinds"].items():
                row.update({f"{kind}_{name}": v for name, v in k.items()})
            yield row


def main():
    a = arguments()
    signal.signal(signal.SIGTERM, stop)
    lulld = os.path.join(os.environ.get("LULL_BIN_DIR", os.path.join(SOURCE, "build")), "lulld")
    if not os.access(lulld, os.X_OK):
        sys.exit(f"there is no {lulld}: set LULL_BIN_DIR")
    modes, found = usable(a.modes), []
    p = Physics(prompt_rate=a.prompt_rate, pace=a.pace)
    print(f"declared: prompt {p.prompt_rate:.0f} tokens/s in batches of {p.batch}, answers {p.pace:.0f} tokens/s, one "
          f"slot; settle {a.settle:g} s.\nEverything runs {a.scale:g} times as fast as declared, lull's settle, "
          "first_turn_wait, max_hold, max_expected and swap_after\ntoo; all figures are declared seconds. "
          f"Seed {a.seed}.")
    for variant in a.variants:
        for people in a.people:
            found.append(scene(a, variant, people, modes))
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"scale": a.scale, "seed": a.seed, "scenes": found}, f, indent=1)
    if a.csv:
        rows = list(flat(found))
        with open(a.csv, "w", encoding="utf-8", newline="") as f:
            out = csv.DictWriter(f, list(rows[0]))
            out.writeheader()
            out.writerows(rows)


if __name__ == "__main__":
    main()
