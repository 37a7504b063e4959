"""From what was seen to tables and targets. All times are declared seconds."""
import math

KINDS = ("title", "tags", "follow_up", "autocomplete")
AFTER_REPLY = KINDS[:3]  # a title runs after the reply, unless nothing holds it back
LULL = ("as-asked", "lull", "chat", "rewarm")  # modes
LATER = 1.05      # of the idle-gap reference
FIRST = 0.030     # seconds over no tasks
LATER_NONE = 1.2  # of no tasks
SHARE = 0.4       # of the model seconds of tasks as asked
BUSY_LOAD = 60.0  # per cent: above it only reported


def percentile(values, p):
    values = sorted(values)
    return values[max(0, math.ceil(p / 100 * len(values)) - 1)] if values else float("nan")


def waits(cell, first):
    return {(c["person"], c["session"], c["turn"]): c["first"] - c["sent"] for c in cell["chats"]
            if c["first"] is not None and (c["turn"] == 0) == first}


def behind(cell, chat, kinds):
    """How long of its wait the chat's server worked on others, of these kinds."""
    return sum(max(0.0, min(r["ended"], chat["first"]) - max(r["started"], chat["sent"])) for r in cell["records"]
               if r["kind"] in kinds and r["server"] == "chat" and r["ended"] is not None
               and r["digest"] != chat["digest"])


def own_waits(cell, first):
    """The waits of chats without the time behind another person's chat, which no policy can avoid."""
    return {(c["person"], c["session"], c["turn"]): c["first"] - c["sent"] - behind(cell, c, ("chat",))
            for c in cell["chats"] if c["first"] is not None and (c["turn"] == 0) == first}


def shares(cell):
    """What all waits were made of: the machine busy with tasks, with other chats, and the rest: its own prompt."""
    good = [c for c in cell["chats"] if c["first"] is not None]
    tasks = sum(behind(cell, c, KINDS + ("rewarm",)) for c in good)
    chats = sum(behind(cell, c, ("chat",)) for c in good)
    return {"behind_tasks": tasks, "behind_chats": chats,
            "own_prompt": sum(c["first"] - c["sent"] for c in good) - tasks - chats}


def chat_figures(cell):
    first, later = waits(cell, True), waits(cell, False)
    fresh = [r for r in cell["records"] if r["kind"] == "chat"]
    asked, cached = sum(r["prompt"] for r in fresh), sum(r["cached"] for r in fresh)
    span = cell["played"] - cell["begun"]
    return {"chats": len(cell["chats"]), "chats_failed": sum(c["status"] != 200 or c["first"] is None
                                                             for c in cell["chats"]), **shares(cell),
            "first_p50": percentile(first.values(), 50), "first_p95": percentile(first.values(), 95),
            "later_p50": percentile(later.values(), 50), "later_p95": percentile(later.values(), 95),
            "waited": sum(first.values()) + sum(later.values()),
            "chat_total": sum(c["end"] - c["sent"] for c in cell["chats"]),
            "cached_percent": 100.0 * cached / max(1, asked),
            "load_percent": 100.0 * sum(r["seconds"] for r in fresh) / span}


def kind_figures(cell, kind):
    """delivered: an answer that was shown; late: an answer that came when it could not be used any more."""
    rows = [t for t in cell["tasks"] if t["kind"] == kind]
    late = [t for t in rows if not t["empty"] and t["passed_by"]]
    good = [t for t in rows if not t["empty"] and not t["passed_by"]]
    took = [t["end"] - t["sent"] for t in good]
    return {"asked": len(rows), "delivered": len(good), "late": len(late), "empty": sum(t["empty"] for t in rows),
            "obsolete": sum(t["empty"] and t["passed_by"] for t in rows),
            "failed": sum(t["status"] != 200 for t in rows), "p50": percentile(took, 50), "p95": percentile(took, 95)}


def model_figures(cell):
    """Wasted: made for calls that were cut off, and for answers that came too late to be used."""
    unused = {(t["kind"], t["mark"]) for t in cell["tasks"] if t["passed_by"] and not t["empty"]}
    tasks = [r for r in cell["records"] if r["kind"] in KINDS]
    rewarm = [r for r in cell["records"] if r["kind"] == "rewarm"]
    aborted = [r for r in tasks if r["end"] == "aborted"]
    return {"task_seconds": sum(r["seconds"] for r in tasks), "task_calls": len(tasks), "aborted": len(aborted),
            "dropped": sum(r["end"] == "dropped" for r in tasks),
            "wasted": sum(r["seconds"] for r in tasks
                          if r["end"] == "aborted" or r["kind"] in ("autocomplete", "follow_up")
                          and (r["kind"], r["mark"]) in unused),
            "wasted_aborted": sum(r["seconds"] for r in aborted),
            "rewarms": len(rewarm), "rewarm_seconds": sum(r["seconds"] for r in rewarm)}


def holder(record):
    """Whose conversation the slot holds after it; empty: none that goes on."""
    return record["chat"] if record["kind"] in ("chat", "rewarm") or record["behind"] else ""


def what(record):
    if record["kind"] in ("chat", "rewarm"):
        return "another " + record["kind"]
    return record["kind"] + (" behind another chat" if record["behind"] else " as asked")


def losses(cell):
    """Later turns of which less than half was cached, by what took the slot from their conversation."""
    turns = {c["digest"]: c["turn"] for c in cell["chats"]}
    owner, taken, out = "", {}, {}
    for r in sorted((r for r in cell["records"] if r["started"] is not None and r["server"] == "chat"),
                    key=lambda r: r["started"]):
        chat = holder(r)
        if owner not in ("", chat):
            taken[owner] = what(r)
        if r["kind"] == "chat" and turns.get(r["digest"], 0) > 0 and 2 * r["cached"] < r["prompt"]:
            why = taken.get(chat, "own task behind it")
            out[why] = out.get(why, 0) + 1
        if chat != "" and not r["behind"]:
            taken.pop(chat, None)  # read again
        owner = chat
    return out


def prefix_figures(cell):
    """What after-reply tasks cost the model, and how many were asked behind their conversation; the first
    token of later turns."""
    after = [r for r in cell["records"] if r["kind"] in AFTER_REPLY]
    later = waits(cell, False).values()
    out = {"after_calls": len(after), "after_seconds": sum(r["seconds"] for r in after),
           "after_made": sum(r["made"] for r in after), "later_p90": percentile(later, 90),
           "used": 0, "not": {}, "lost": losses(cell)}
    for kind in KINDS:
        mine = [r for r in cell["records"] if r["kind"] == kind]
        out["prompt_" + kind], out["read_" + kind] = (sum(r[k] for r in mine) for k in ("prompt", "read"))
        said = cell.get("stats", {}).get("tasks", {}).get(kind, {}) if kind in AFTER_REPLY else {}
        out["used"] += said.get("prefix_used", 0)
        for why, count in said.get("prefix_not", {}).items():
            name = f"{kind} {why}"
            out["not"][name] = out["not"].get(name, 0) + count
    return out


def lull_figures(cell, scale):
    """What lull itself says of it."""
    if "stats" not in cell:
        return {}
    out = {}
    for kind, figures in cell["stats"]["tasks"].items():
        keep = ("requests", "hits", "type_through", "collapsed", "misses", "superseded", "busy", "obsolete", "sent",
                "bypassed", "abandoned", "preempted", "cancelled", "failed")
        out[kind] = {k: figures[k] for k in keep if figures.get(k)}
        for k in ("upstream_s", "wasted_s", "wait_s"):
            if figures.get(k):
                out[kind][k] = round(figures[k] * scale, 2)
    for name, up in cell["stats"]["upstreams"].items():
        out["@" + name] = {k: up[k] for k in ("calls", "finished", "failed", "aborted", "rewarms") if up.get(k)}
    return out


def figures(cell, scale):
    return {"mode": cell["mode"], **chat_figures(cell), **model_figures(cell), **prefix_figures(cell),
            "kinds": {kind: kind_figures(cell, kind) for kind in KINDS}, "lull": lull_figures(cell, scale),
            "lag_p50_ms": cell["lag_ms"][0] * scale, "lag_p99_ms": cell["lag_ms"][1] * scale}


def chat_table(rows):
    out = [f"{'mode':<8}{'first p50':>10}{'p95':>7}{'later p50':>11}{'p95':>7}{'waited':>8}{'= tasks':>9}"
           f"{'+ chats':>9}{'+ own':>8}{'chat time':>11}{'load':>6}{'cached':>8}{'timers late p50/p99':>22}"]
    for r in rows:
        out.append(f"{r['mode']:<8}{r['first_p50']:>10.2f}{r['first_p95']:>7.2f}{r['later_p50']:>11.2f}"
                   f"{r['later_p95']:>7.2f}{r['waited']:>8.1f}{r['behind_tasks']:>9.1f}"
                   f"{r['behind_chats']:>9.1f}{r['own_prompt']:>8.1f}{r['chat_total']:>11.1f}{r['load_percent']:>5.0f}%"
                   f"{r['cached_percent']:>7.0f}%{r['lag_p50_ms']:>12.1f}/{r['lag_p99_ms']:.0f} ms")
    return out


def took(k):
    return f"{k['p50']:.1f}/{k['p95']:.1f}" if k["delivered"] else "-"


def task_table(rows):
    out = [f"{'mode':<8}{'title':>7}{'p50/p95':>11}{'tags':>7}{'p50/p95':>11}{'follow-ups':>11}{'p50/p95':>10}"
           f"{'obsolete':>10}{'late':>5}{'autocompl.':>11}{'p50/p95':>9}{'late':>5}{'empty':>6}{'model s':>9}"
           f"{'wasted':>8}{'aborted':>8}{'rewarm s':>9}"]
    for r in rows:
        if r["mode"] == "none":
            continue
        title, tags, follow, auto = (r["kinds"][k] for k in KINDS)
        done = [f"{k['delivered']}/{k['asked']}" for k in (title, tags, follow, auto)]
        out.append(f"{r['mode']:<8}{done[0]:>7}{took(title):>11}{done[1]:>7}{took(tags):>11}{done[2]:>11}"
                   f"{took(follow):>10}{follow['obsolete']:>10}{follow['late']:>5}{done[3]:>11}{took(auto):>9}"
                   f"{auto['late']:>5}{auto['empty']:>6}{r['task_seconds']:>9.1f}{r['wasted']:>8.1f}{r['aborted']:>8}"
                   f"{r['rewarm_seconds']:>9.1f}")
    return out


def counts(found):
    return ", ".join(f"{name} {n}" for name, n in sorted(found.items(), key=lambda i: (-i[1], i[0])))


def prefix_table(rows):
    """The prompts of after-reply tasks: their tokens, and those that were read; what the model did for them."""
    out = [f"{'mode':<8}{'title read':>14}{'tags read':>14}{'follow-ups read':>17}{'autocompl. read':>17}"
           f"{'calls':>7}{'made':>7}{'model s':>9}{'later p50':>11}{'p90':>7}  prefix used, not used"]
    for r in rows:
        read = [f"{r['read_' + k]}/{r['prompt_' + k]}" for k in KINDS]
        used = f"{r['used']}" + (f"; {counts(r['not'])}" if r["not"] else "") if r["mode"] in LULL else ""
        out.append(f"{r['mode']:<8}{read[0]:>14}{read[1]:>14}{read[2]:>17}{read[3]:>17}{r['after_calls']:>7}"
                   f"{r['after_made']:>7}{r['after_seconds']:>9.1f}{r['later_p50']:>11.2f}{r['later_p90']:>7.2f}"
                   f"  {used}".rstrip())
    return out + ["later turns that lost their prompt, by what took the slot:"] + [
        f"  {r['mode']:<8} {sum(r['lost'].values())}" + (f": {counts(r['lost'])}" if r["lost"] else "") for r in rows]


def line(what, have, want, ok, more=""):
    return {"target": what, "have": have, "want": want, "met": ok, "more": more}


def paired(cell, other, first):
    a, b = waits(cell, first), waits(other, first)
    return percentile([a[k] - b[k] for k in a if k in b], 50)


def bounded(name, mine, bound, more=""):
    return line(name, mine, bound, mine <= bound, more)


def chat_targets(mode, by, cells, one_batch):
    """As they are set, and again without what chats waited for each other."""
    r, out = by[mode], []
    if "none" in by:
        n, more = by["none"], f"paired median {1000 * paired(cells[mode], cells['none'], True):+.0f} ms"
        out += [bounded(f"{mode}: first turn p50", r["first_p50"], n["first_p50"] + FIRST, more),
                bounded(f"{mode}: first turn p95", r["first_p95"], n["first_p95"] + one_batch)]
        a, b = (own_waits(cells[m], True).values() for m in (mode, "none"))
        out += [bounded(f"{mode}: first turn p{p}, behind no chat", percentile(a, p), percentile(b, p) + extra)
                for p, extra in ((50, FIRST), (95, one_batch))]
    if "idle" in by:
        i, more = by["idle"], f"paired median {1000 * paired(cells[mode], cells['idle'], False):+.0f} ms"
        out += [bounded(f"{mode}: later turns p50", r["later_p50"], LATER * i["later_p50"], more),
                bounded(f"{mode}: later turns p95", r["later_p95"], LATER * i["later_p95"])]
        a, b = (own_waits(cells[m], False).values() for m in (mode, "idle"))
        out += [bounded(f"{mode}: later turns p{p}, behind no chat", percentile(a, p), LATER * percentile(b, p))
                for p in (50, 95)]
    return out


def prefix_targets(mode, by):
    """Of the modes that may ask tasks behind their conversation."""
    r, out = by[mode], []
    if "none" in by:
        out.append(bounded(f"{mode}: later turns p50, as with no tasks", r["later_p50"],
                           LATER_NONE * by["none"]["later_p50"]))
    if "as-asked" in by:
        out.append(bounded(f"{mode}: model s of after-reply tasks", r["after_seconds"],
                           SHARE * by["as-asked"]["after_seconds"]))
    return out


def targets(cells, rows, one_batch):
    """The targets of each of lull's modes, against the peers of the same run."""
    by, cell, out = {r["mode"]: r for r in rows}, {c["mode"]: c for c in cells}, []
    for mode in [m for m in LULL if m in by]:
        r = by[mode]
        out += chat_targets(mode, by, cell, one_batch)
        out += prefix_targets(mode, by) if mode != "as-asked" else []
        for kind in ("title", "tags"):
            k = r["kinds"][kind]
            out.append(line(f"{mode}: {kind} delivered", k["delivered"], k["asked"], k["delivered"] == k["asked"]))
        k, said = r["kinds"]["follow_up"], r["lull"].get("follow_up", {}).get("obsolete", 0)
        out.append(line(f"{mode}: obsolete follow-ups counted", said, k["obsolete"],
                        said == k["obsolete"] == k["empty"]))
        failed = r["chats_failed"] + sum(x["failed"] for x in r["kinds"].values())
        out.append(line(f"{mode}: failed chats and tasks", failed, 0, failed == 0))
    return out


def verdict(rows, people):
    """Whether the targets bind: for one person, and for two where the chats leave room."""
    none = [r for r in rows if r["mode"] == "none"]
    if people == 1 or (people == 2 and none and none[0]["load_percent"] <= BUSY_LOAD):
        return True
    return False


def show(title, rows, checks, binding):
    print(f"\n== {title}")
    print("\n".join(chat_table(rows)))
    print()
    print("\n".join(task_table(rows)))
    print()
    print("\n".join(prefix_table(rows)))
    print()
    for c in checks:
        word = ("met" if c["met"] else "missed") if binding else "-"
        have, want = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in (c["have"], c["want"]))
        print(f"  {word:<7}{c['target']:<42}{have:>9}  bound {want:>9}  {c['more']}")
    if not binding:
        print("  (reported only: too many people, or chats alone take more than "
              f"{BUSY_LOAD:.0f} % of the model)")
    for r in rows:
        for kind, f in r["lull"].items():
            print(f"  {r['mode']} says {kind}: " + ", ".join(f"{k} {v}" for k, v in f.items()))
