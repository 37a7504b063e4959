#!/usr/bin/env python3
"""lullctl completion: the scripts parse, bash completes as it should, and verbs, keys, kinds and outcomes are the
same in --help, the manual page, the scripts and lulld --help-config."""
import os
import re
import shutil
import subprocess
import unittest

from lull import LULLCTL, LULLD, OUTCOMES, SOURCE, clean_environment


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, **more).stdout


def script(shell):
    return run(LULLCTL, "completion", shell)


def complete(*words):
    """What bash offers for the last word."""
    quoted = " ".join(f"'{w}'" for w in ("lullctl", *words))
    program = (f"source /dev/stdin; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _lullctl lullctl "
               "; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return run("bash", "-c", program, input=script("bash")).split()


class Completion(unittest.TestCase):
    def test_the_scripts_parse(self):
        for shell in ("bash", "zsh", "fish"):
            if shutil.which(shell) is not None:
                done = subprocess.run([shell, "-n", "/dev/stdin"], input=script(shell), capture_output=True, text=True,
                                      check=False, timeout=60)
                self.assertEqual((shell, done.returncode, done.stderr), (shell, 0, ""))
        self.assertEqual(subprocess.run([LULLCTL, "completion", "tcsh"], capture_output=True, check=False).returncode, 2)

    def test_bash(self):
        self.assertEqual(complete("re"), ["reload", "resume", "report"])
        self.assertEqual(complete("report", "--d"), ["--days"])
        self.assertEqual(complete("report", "--by", "u"), ["user"])
        self.assertEqual(complete("set", "task.autocomplete.deb"), ["task.autocomplete.debounce="])
        self.assertEqual(complete("tail", "--kind", "follow"), ["follow_up"])
        self.assertEqual(complete("tail", "--outcome", "type"), ["type_through"])
        self.assertEqual(complete("config", "--ch"), ["--changed"])
        self.assertEqual(complete("explain", "--la"), ["--last-miss"])
        self.assertIn("title", complete("explain", "--last-miss", "ti"))
        self.assertEqual(complete("--socket", "/tmp/x", "he"), ["health"])
        self.assertEqual(complete("purge", "al"), ["all=yes"])
        self.assertEqual(complete("set", "server.data_"), [], "only a restart changes it")

    def test_every_verb_is_everywhere(self):
        verbs = re.search(r"^complete -c lullctl -n __fish_use_subcommand -a '(.*)'$", script("fish"), re.M).group(1).split()
        usage = run(LULLCTL, "--help")
        with open(os.path.join(SOURCE, "docs", "man", "lullctl.1"), encoding="utf-8") as f:
            page = f.read()
        self.assertGreater(len(verbs), 15)
        for verb in verbs:
            self.assertRegex(usage, rf"(?m)(^  |, ){verb}\b", verb)
            self.assertRegex(page, rf'(?m)^\.(B|BR|BI) "?{verb}\b|" {verb}$', verb)
            self.assertIn(verb, complete(verb), verb)
            self.assertIn(verb, script("zsh"))

    def test_the_keys_of_a_kind_are_those_that_it_has(self):
        """lulld has them all, but for the class, which is fixed; a key of another kind would be refused."""
        shown = run(LULLD, "--print-config", "--upstream", "http://127.0.0.1:1", env=clean_environment())
        has = set(re.findall(r"(?m)^(task\.[a-z_]+\.[a-z_]+) = ", shown))
        offered = {word.rstrip("=") for word in complete("set", "task.")}
        self.assertEqual(offered, {name for name in has if not name.endswith(".class")})

    def test_keys_kinds_and_outcomes(self):
        words = complete("set", "")
        help_text = run(LULLD, "--help-config")
        keys = set(re.findall(r"(?m)^  ([a-z_]+) =", help_text))
        self.assertGreater(len(keys), 60)
        offered = {word.rstrip("=").split(".")[-1] for word in words}
        restart = set(re.findall(r"(?m)^  ([a-z_]+) = .*(?:\n      .*)?needs a restart", help_text))
        self.assertEqual(offered - keys, set())
        self.assertEqual(keys - offered - restart, {"class"}, "only of own kinds; every other key that a reload changes")
        self.assertEqual(complete("tail", "--outcome", ""), OUTCOMES)


if __name__ == "__main__":
    unittest.main()
