"""Ways to a hit that no peer has: a Unix socket, and the remainder of a suggestion."""
from rows import bodies, client
from rows.figures import cell, interleave, ratio, table
from rows.servers import Bench

DISTINCT, CONNECTIONS = 10000, 64
CONTEXTS, CONTEXT = 200, 4096
TEXT = "On the last day of summer"


def over_sockets(a):
    """CPU of a hit of 2 KB by server, over TCP and over its Unix socket."""
    with Bench() as bench:
        body = bodies.titles(bench.work, 2048)
        lull, nginx = bench.lull(), bench.nginx()
        tcp, unix = bench.bare("table", 0), bench.bare_on_socket()
        sides = {("limit", "TCP"): (tcp, tcp.port), ("limit", "Unix"): (unix, unix.path), ("nginx", "TCP"): (nginx, nginx.port),
                 ("nginx", "Unix"): (nginx, nginx.path), ("lull", "TCP"): (lull, lull.port), ("lull", "Unix"): (lull, lull.path)}
        for server, target in ((lull, lull.port), (nginx, nginx.port), (tcp, tcp.port), (unix, unix.path)):
            client.load(target, body, count=DISTINCT, distinct=DISTINCT)
        how = {"connections": CONNECTIONS, "seconds": a.seconds, "distinct": DISTINCT}
        return interleave(a.rounds, {name: lambda s=server, t=target: client.cpu(s, t, body, **how) for name, (server, target) in sides.items()})


def completions(bench):
    """The files of completions that were asked, and of those that type on."""
    asked = [bodies.completion(CONTEXT, c, TEXT) for c in range(CONTEXTS)]
    on = [bodies.completion(CONTEXT, c, text) for text in bodies.typed(TEXT) for c in range(CONTEXTS)]
    return bodies.write(bench.work, "asked", asked), bodies.write(bench.work, "typed", on)


def typed_through(a):
    with Bench() as bench:
        lull = bench.lull(TASK_AUTOCOMPLETE_DEBOUNCE="off", TASK_AUTOCOMPLETE_TTL="1h")
        asked, on = completions(bench)
        client.load(lull.port, asked, count=CONTEXTS)
        client.load(lull.port, asked, count=CONTEXTS, expect="lull; hit")
        how = {"connections": CONNECTIONS, "seconds": a.seconds}
        return interleave(a.rounds, {
            "exact": lambda: client.cpu(lull, lull.port, asked, expect="lull; hit", **how),
            "through": lambda: client.cpu(lull, lull.port, on, expect="detail=type-through", **how)})


def run(a):
    sockets, through = over_sockets(a), typed_through(a)
    lines = [[f"hit, 2 KB, {name}", "Unix socket", cell(sockets[name, "Unix"]), "TCP", cell(sockets[name, "TCP"]),
              ratio(sockets[name, "Unix"], sockets[name, "TCP"]), "≤ 0.8" if name == "lull" else ""] for name in ("limit", "nginx", "lull")]
    lines.append(["autocomplete, 4 KB of context, lull", "type-through", cell(through["through"]), "exact hit", cell(through["exact"]),
                  ratio(through["through"], through["exact"]), "≤ 2.5"])
    return table(["µs of CPU a request", "this", "", "beside", "", "ratio", "goal"], lines)
