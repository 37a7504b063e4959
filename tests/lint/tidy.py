#!/usr/bin/env python3
"""clang-tidy with the checks of .clang-tidy over sidecar/. LULL_BUILD names the build folder with
compile_commands.json."""
import concurrent.futures
import os
import re
import subprocess

from common import CannotRun, files, need_clang, run

NAME = "clang-tidy"
LINE = re.compile(r"^(.+?):(\d+):\d+: (?:error|warning): (.*)$", re.M)
GROUP = 8


def check(root):
    build = os.environ.get("LULL_BUILD", os.path.join(root, "build"))
    need_clang("clang-tidy")
    if not os.path.exists(os.path.join(build, "compile_commands.json")):
        raise CannotRun(f"{build} has no compile_commands.json; set LULL_BUILD")
    paths = files(root, ["sidecar"], (".c",))
    groups = [paths[i:i + GROUP] for i in range(0, len(paths), GROUP)]

    def tidy(group):
        return subprocess.run(["clang-tidy", "-p", build, "--quiet", *group], cwd=root, text=True,
                              capture_output=True, check=False)

    out = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for group, p in zip(groups, pool.map(tidy, groups)):
            found = [(os.path.relpath(m[0], root), int(m[1]), m[2]) for m in LINE.findall(p.stdout)]
            out += found
            if p.returncode != 0 and not found:
                out.append((group[0], 1, p.stderr.strip()[-500:]))
    return sorted(set(out))


if __name__ == "__main__":
    run(NAME, check)
