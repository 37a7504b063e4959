"""The two clients: wrk, and bench_load, which also speaks to Unix sockets and measures chunks."""
import json
import os
import re
import subprocess
import sys

from rows.servers import LOAD, pinned

PATH = "/v1/chat/completions"
# i: the number; the body's parts around it are long strings.
SCRIPT = """
local first, last = [==[%s]==], [==[%s]==]
local i = tonumber(os.getenv("BENCH_FROM"))
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer k"
wrk.headers["User-Agent"] = "Python/3.11 aiohttp/3.14.5"
function request()
  i = i + 1
  return wrk.format(nil, nil, nil, first .. string.format("%%08d", %s) .. last)
end
"""


def script(body, work, name, distinct):
    first, last = body.decode().split("00000000")
    path = work / f"{name}.lua"
    path.write_text(SCRIPT % (first, last, f"i % {distinct}" if distinct else "i"))
    return path


def wrk(port, connections, lua, seconds, first):
    """How many requests in how many microseconds."""
    out = subprocess.run(pinned(1, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", lua, f"http://127.0.0.1:{port}{PATH}"),
                         capture_output=True, text=True, check=True, env={**os.environ, "BENCH_FROM": str(first)}).stdout
    if "Non-2xx" in out:
        sys.exit(out)
    n, duration, unit = re.search(r"(\d+) requests in ([\d.]+)(\w+)", out).groups()
    return int(n), float(duration) * {"s": 1, "ms": 0.001, "m": 60}[unit] * 1e6


def command(target, bodies, **how):
    return pinned(1, LOAD, target, bodies, *(f"{key}={value}" for key, value in how.items()))


def said(out, how):
    """What bench_load printed, with names for the percentiles."""
    result = json.loads(out)
    if result["unexpected"]:
        sys.exit(f"{result['unexpected']} of {result['requests']} answers are not {how['expect']}")
    for name in ("whole", "first", "chunk"):
        if name in result:
            result[name] = dict(zip(("p50", "p90", "p99", "p999", "max"), result[name]))
    return result


def load(target, bodies, **how):
    return said(subprocess.run(command(target, bodies, **how), stdout=subprocess.PIPE, text=True, check=True).stdout, how)


def cpu(server, target, bodies, **how):
    """Microseconds of the server's CPU for each request of a run."""
    before = server.cpu_us()
    done = load(target, bodies, **how)
    return (server.cpu_us() - before) / done["requests"]
