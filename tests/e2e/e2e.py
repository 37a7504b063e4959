#!/usr/bin/env python3
"""e2e.py WORK [PASS...]: a real Open WebUI (installed in WORK by install.sh) driven in headless Chromium,
on an OpenAI type and on an Ollama type connection, in front of scripted model servers. Checks what the
person sees, what reached the model, and the figures of lulld. Passes, by default all:

  direct   without lulld: what Open WebUI does by itself; the measure for the next one
  plain    with lulld and its defaults, no custom headers: tasks are recognised by their texts, and
           what reaches the model is compared with the direct pass
  headers  with the task, user and chat headers, a title prompt in another language, and lulld tuned
           (a task model, another server for follow-ups, a window for autocompletes)
  features what else Open WebUI does with models, over its HTTP API, with and without lulld (features.py)
"""
import argparse
import collections
import json
import os
import shutil
import subprocess
import sys

import features
import judge
from stage import HERE, MODELS, VERSION, Stage, WebUI, fresh
from lull import LULLD, SANITIZER_SIGNS, Lull, clean_environment

How = collections.namedtuple("How", "name lull headers tuned")
PASSES = {h.name: h for h in (How("direct", False, False, False), How("plain", True, False, False),
                              How("headers", True, True, True))}
TUNED = "[task autocomplete]\ndebounce = 300ms\n\n[task follow_up]\nupstream = small\n"


def start_lull(how, stage):
    upstreams = {name: stage.models[name] for name in MODELS}
    if how.tuned:
        upstreams["small"] = {"url": stage.models["small"], "api_key": "sk-small"}
    lull = Lull(upstreams, server="default_upstream = openai",
                tasks=f"model = {judge.TASK_MODEL}" if how.tuned else "", more=TUNED if how.tuned else "")
    stage.figures = lull.stats
    return lull


def drive(work, home, webui, stage, label, shots):
    """Runs drive.js for one connection; {step: what was seen}."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    env = clean_environment(OWUI_URL=webui.url, OWUI_VERSION=VERSION, CONTROL_URL=stage.control.url,
                            MODEL=MODELS[label], LABEL=label, SHOTS=shots, CHROMIUM=chromium, HOME=home,
                            NODE_MODULES=os.path.join(work, "node", "node_modules"))
    p = subprocess.run(["node", os.path.join(HERE, "drive.js")], env=env, capture_output=True, text=True,
                       timeout=600, check=False)
    seen = {}
    for line in p.stdout.splitlines():
        if line.startswith("{"):
            o = json.loads(line)
            seen[o["step"]] = o
    if p.returncode != 0:
        print(p.stdout[-2000:], p.stderr[-2000:], file=sys.stderr)
    with open(os.path.join(shots, f"{label}-seen.json"), "w", encoding="utf-8") as f:
        json.dump(seen, f, indent=1, ensure_ascii=False)
    return seen


def one_pass(j, work, how):
    """Drives and judges one pass; its stage, with all that reached the model servers."""
    print(f"{how.name}:", flush=True)
    home, shots = (fresh(os.path.join(work, d, how.name)) for d in ("run", "shots"))
    stage, lull, webui = Stage(), None, None
    try:
        urls = {n: stage.models[n].url for n in MODELS}
        if how.lull:
            lull = start_lull(how, stage)
            urls = {n: f"http://127.0.0.1:{lull.port}/@{n}" for n in MODELS}
        webui = WebUI(work, home, urls, stage, how.headers)
        webui.wait()
        for label in MODELS:
            look = judge.Look(j, label, drive(work, home, webui, stage, label, shots), stage, how)
            judge.person_in_chat(look)
            judge.person_elsewhere(look)
            judge.model_counts(look)
            judge.model_requests(look)
            sys.stdout.flush()
        if lull:
            judge.figures(j, how, lull, stage)
            log = lull.log_text()
            sign = SANITIZER_SIGNS.search(log)
            j.check(f"{how.name}: no sanitizer spoke", not sign, sign and log[sign.start():][:3000])
    finally:
        if webui:
            webui.stop()
        if lull:
            shutil.copy(lull.log_path, os.path.join(shots, "lulld.log"))
            lull.cleanup()
        stage.stop()
    j.equal(f"{how.name}: mistakes of the scripted servers", stage.errors(), [])
    return stage


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("passes", nargs="*", metavar="PASS", help=" ".join([*PASSES, "features"]))
    a = parser.parse_args()
    names = a.passes or [*PASSES, "features"]
    unknown = [n for n in names if n not in (*PASSES, "features")]
    if unknown:
        parser.error(f"no such pass: {unknown[0]} (there are {', '.join(PASSES)}, features)")
    if names != ["direct"] and not os.access(LULLD, os.X_OK):
        sys.exit(f"there is no {LULLD}: build lull first")
    work = os.path.abspath(a.work)
    j = judge.Judge()
    stages = {name: one_pass(j, work, PASSES[name]) for name in names if name in PASSES}
    if "direct" in stages and "plain" in stages:
        print("plain beside direct:")
        judge.compare(j, stages["direct"], stages["plain"])
    if "features" in names:
        print("features:", flush=True)
        features.run(j, work)
    print(f"{j.passed} passed, {j.failed} failed; screenshots in {os.path.join(work, 'shots')}")
    sys.exit(1 if j.failed else 0)


if __name__ == "__main__":
    main()
