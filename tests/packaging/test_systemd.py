#!/usr/bin/env python3
"""The systemd units: exposure, what systemd itself finds wrong, and the settings that lulld relies on."""
import os
import re
import tempfile
import unittest

from common import BUILD, LULLCTL, LULLD, main, must, need, run

UNITS = os.path.join(BUILD, "systemd")
MOST = 1.5


class Units(unittest.TestCase):
    def unit(self, name):
        with open(os.path.join(UNITS, name), encoding="utf-8") as f:
            return f.read()

    def exposure(self, path):
        text = must("systemd-analyze", "security", "--offline=yes", "--no-pager", path)
        return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)[1])

    def test_exposure(self):
        exposure = self.exposure(os.path.join(UNITS, "lulld.service"))
        print(f"exposure {exposure}")
        self.assertLessEqual(exposure, MOST)

    def test_exposure_check_can_fail(self):
        with tempfile.TemporaryDirectory() as folder:
            weak = os.path.join(folder, "weak.service")
            with open(weak, "w", encoding="utf-8") as f:
                f.write(re.sub(r"(?m)^(SystemCallFilter|CapabilityBoundingSet)=.*\n", "", self.unit("lulld.service")))
            self.assertGreater(self.exposure(weak), MOST)

    def verify(self, change=lambda text: text):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("lulld.service", "lulld.socket"):
                text = re.sub(r"/\S+/lulld\b", LULLD, re.sub(r"/\S+/lullctl\b", LULLCTL, self.unit(name)))
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write(change(text))
            done = run("systemd-analyze", "verify", "--man=no", os.path.join(folder, "lulld.service"),
                       os.path.join(folder, "lulld.socket"))
            return [line for line in done.stdout.splitlines() if "lulld" in line]

    def test_systemd_finds_nothing_wrong(self):
        self.assertEqual(self.verify(), [])

    def test_verify_can_fail(self):
        self.assertNotEqual(self.verify(lambda text: text.replace("Restart=on-failure", "Restart=maybe")), [])

    def test_what_lulld_relies_on(self):
        lines = self.unit("lulld.service").splitlines()
        for line in ("Type=notify", "DynamicUser=yes", "StateDirectory=lull", "RuntimeDirectory=lull",
                     "Restart=on-failure", "RestartPreventExitStatus=2"):
            self.assertIn(line, lines)
        self.assertTrue(any(re.match(r"ExecReload=/\S+/lullctl reload$", line) for line in lines))
        settings = [line for line in lines if not line.startswith("#")]
        self.assertFalse(any("LULL_" in line for line in settings), "a variable would override lull.conf")
        self.assertNotIn("@", "".join(line for line in lines if line.startswith("Exec")))


if __name__ == "__main__":
    need("systemd-analyze")
    main()
