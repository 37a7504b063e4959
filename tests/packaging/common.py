"""What the packaging tests share: where things are, running a program, tools from PyPI, skipping.

Environment: LULL_BIN_DIR (the build folder), LULL_SANITIZE (not empty: built with sanitizers).
"""
import fcntl
import json
import os
import shutil
import subprocess
import sys
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("LULL_BIN_DIR", os.path.join(SOURCE, "build"))
LULLD = os.path.join(BUILD, "lulld")
LULLCTL = os.path.join(BUILD, "lullctl")
SANITIZED = os.environ.get("LULL_SANITIZE", "")
CHECKER = "check-jsonschema==0.39.0"  # ships the schemas of compose files and of GitHub workflows


def skip(why):
    """The whole file is skipped, with one line."""
    print(f"skipped: {why}")
    sys.exit(77)


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed")


def source(*parts):
    return os.path.join(SOURCE, *parts)


def read(*parts):
    with open(source(*parts), encoding="utf-8") as f:
        return f.read()


def environment(**more):
    """The environment without anything that configures lulld."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith(("LULL_", "LISTEN_", "NOTIFY_"))},
            **more}


def run(*arguments, **more):
    """Runs a program; its output, errors included, is in stdout."""
    more.setdefault("env", environment())
    return subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=280, check=False, **more)


def must(*arguments, **more):
    """Runs a program that must succeed; returns its output."""
    done = run(*arguments, **more)
    if done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def version():
    return must(source("contrib", "packaging", "version")).strip()


def tool_folder():
    """A virtual environment in the build folder with the schema checker; skips where there is none."""
    folder = os.path.join(BUILD, "packaging-tools")
    os.makedirs(BUILD, exist_ok=True)
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.access(os.path.join(folder, "complete"), os.F_OK):
            return os.path.join(folder, "bin")
        done = run(sys.executable, "-m", "venv", "--clear", folder)
        if done.returncode != 0:
            skip("python3 -m venv does not work here (package python3-venv)")
        done = run(os.path.join(folder, "bin", "python"), "-m", "pip", "install", "-q", "--retries", "1",
                   "--timeout", "20", "--disable-pip-version-check", CHECKER)
        if done.returncode != 0:
            skip(f"{CHECKER} cannot be installed from PyPI: {done.stdout.strip().splitlines()[-1][:200]}")
        with open(os.path.join(folder, "complete"), "w", encoding="ascii"):
            pass
    return os.path.join(folder, "bin")


def load_yaml(tools, path):
    """A YAML file as plain Python."""
    code = ("import json, sys; from ruamel.yaml import YAML; "
            "json.dump(YAML(typ='safe', pure=True).load(open(sys.argv[1], encoding='utf-8')), sys.stdout)")
    return json.loads(must(os.path.join(tools, "python"), "-c", code, path))


def schema_findings(tools, schema, *paths):
    """What the schema has against the files; empty when nothing."""
    done = run(os.path.join(tools, "check-jsonschema"), "--builtin-schema", schema, *paths)
    return "" if done.returncode == 0 else done.stdout


def main():
    if not os.access(LULLD, os.X_OK):
        skip(f"there is no {LULLD}")
    unittest.main(module="__main__", verbosity=2)
