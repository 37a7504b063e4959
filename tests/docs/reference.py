"""conf/lull.conf and the manual page lull.conf(5) against `lulld --help-config`: every key with its default and
its sentence."""
import os
import re
import subprocess

CONF, MAN = "conf/lull.conf", "docs/man/lull.conf.5"
PLACES = {"control", "data_dir"}  # their defaults depend on the user
ELSEWHERE = {"answer", "shape", "class"}  # conf has one kind's, the manual page a text
VALUE_FIRST = re.compile(r"[a-z][\w.-]*(?:[,;:]| or )")  # a sentence that begins with a value keeps its case


def keys(text):
    """(section, key, default, sentence) of --help-config."""
    out, section, lines = [], "", text.splitlines()
    for i, line in enumerate(lines):
        m = re.match(r"  ([a-z_]+) = (.*)$", line)
        if m:
            out.append((section, m.group(1), m.group(2), lines[i + 2].strip()))
        elif line.startswith("["):
            section = line
    return out


def entries(text):
    """{(first word of the section, key): [(line, default, sentence)]} of lull.conf."""
    out, section, said = {}, "", ""
    for number, line in enumerate(text.splitlines(), 1):
        m = re.match(r"#?\[(\w+).*\]$", line)
        key = re.match(r"#([a-z_]+) =(.*)$", line)
        if m:
            section = m.group(1).replace("tasks", "task")
        elif key:
            out.setdefault((section, key.group(1)), []).append((number, key.group(2).strip(), said))
        said = line[2:] if line.startswith("# ") else ""
    return out


def check_conf(found, text):
    out, have = [], entries(text)
    for section, key, default, sentence in found:
        first = re.match(r"\[(\w+)", section).group(1).replace("tasks", "task")
        for line, value, said in have.get((first, key), [(1, None, None)]):
            if value is None:
                out.append((CONF, line, f"{section} {key} is missing"))
            elif key not in PLACES | ELSEWHERE and value != default.split(";")[0] and first == "task":
                out.append((CONF, line, f"{key} = {value}; the default is {default}"))
            elif key not in PLACES and value != default and first != "task":
                out.append((CONF, line, f"{key} = {value}; the default is {default}"))
            if said is not None and sentence not in said:
                out.append((CONF, line, f"{key}: not the sentence of --help-config: {sentence}"))
    return out


def check_man(found, text):
    plain = text.replace("\\-", "-").replace("\\(dq", '"')
    out, have = [], {}
    for m in re.finditer(r'^\.BR ([a-z_]+) " \((.*)\)"\n(.*)$', plain, re.M):
        have.setdefault(m.group(1), []).append((plain[:m.start()].count("\n") + 1, m.group(2), m.group(3)))
    for section, key, default, sentence in found:
        if key not in have:
            out.append((MAN, 1, f"{section} {key} is missing"))
            continue
        line, value, said = have[key].pop(0) if len(have[key]) > 1 else have[key][0]
        if key not in PLACES | ELSEWHERE and value != (default or "empty"):
            out.append((MAN, line, f"{key} ({value}); the default is {default}"))
        if not VALUE_FIRST.match(sentence):
            sentence = sentence[0].upper() + sentence[1:]
        if not said.startswith(sentence):
            out.append((MAN, line, f"{key}: not the sentence of --help-config: {sentence}"))
    return out


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def check(root, lulld):
    done = subprocess.run([lulld, "--help-config"], capture_output=True, text=True, check=True, timeout=60)
    found = keys(done.stdout)
    assert len(found) > 50, "--help-config is not read any more"
    return check_conf(found, read(root, CONF)) + check_man(found, read(root, MAN))
