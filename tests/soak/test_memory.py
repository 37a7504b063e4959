#!/usr/bin/env python3
"""The rule about memory of a soak, with a recorded hour and with leaks that are put into it."""
import random
import unittest

import memory

# Medians of each minute, in MB, of an hour without a leak on a machine that was busy with much else.
HOUR = [9.8, 10.7, 11.6, 12.0, 11.9, 12.4, 12.4, 12.4, 12.5, 12.4, 12.5, 12.7, 12.6, 12.5, 12.5, 12.4, 12.6, 12.4, 12.8,
        12.5, 12.6, 12.5, 12.6, 12.3, 12.6, 12.5, 12.6, 12.5, 12.6, 12.5, 12.8, 12.4, 12.6, 12.5, 12.8, 12.3, 12.8,
        12.4, 12.7, 12.5, 12.7, 12.4, 12.5, 12.4, 12.7, 12.5, 12.7, 12.5, 12.9, 13.9, 13.3, 12.5, 12.9, 12.2, 12.7,
        12.5, 12.8, 12.5, 12.7]
# The same with captured requests: it goes up and down with the purges, and its tables take half an hour to fill.
PURGED = [13.5, 14.9, 17.4, 15.8, 17.6, 15.3, 18.3, 15.6, 18.0, 15.7, 18.3, 15.6, 18.3, 15.9, 18.4, 15.5, 18.2, 15.4, 17.9,
          15.8, 18.4, 15.8, 18.2, 15.4, 18.6, 15.5, 18.2, 16.2, 18.7, 16.1, 18.9, 15.8, 19.1, 16.1, 18.6, 16.0, 18.9,
          15.8, 18.6, 16.0, 18.8, 16.0, 19.0, 16.3, 18.9, 16.0, 18.8, 15.7, 18.6, 15.7, 19.3, 15.9, 18.7, 15.9, 18.8,
          15.6, 18.7, 14.9, 18.7]
FLAT = [20.0] * 61


def samples(used, leaks=lambda minute: 0.0, holes=lambda minute: 0.0):
    """One a second."""
    out = []
    for t in range(60 * len(used)):
        size = (used[t // 60] + leaks(t / 60)) * memory.MB
        out.append({"t": t, "used": size, "rss": size + holes(t / 60) * memory.MB})
    return out


def linear(mb_an_hour):
    return lambda minute: mb_an_hour * minute / 60


def bodies(minute):
    """8 MB are held for two minutes of eleven."""
    return 8.0 if minute % 11 < 2 else 0.0


class Memory(unittest.TestCase):
    def test_an_hour_without_a_leak_does_not_grow(self):
        for series in (HOUR, PURGED, FLAT):
            self.assertEqual(memory.problems(samples(series)), [])

    def test_what_is_given_back_is_no_growth(self):
        for shape in (bodies, lambda m: -bodies(m), lambda m: 5.0 if 30 <= m < 40 else 0.0):
            self.assertEqual(memory.problems(samples(FLAT, shape)), [])

    def test_a_leak_of_half_a_mb_an_hour_is_growth(self):
        for series in (HOUR, FLAT):
            self.assertIn("memory in use grows by 0.", memory.problems(samples(series, linear(0.55)))[0])

    def test_a_larger_leak_is_growth_beside_purges(self):
        self.assertIn("memory in use grows by 0.", memory.problems(samples(PURGED, linear(1.5)))[0])

    def test_a_leak_is_growth_whatever_is_around_it(self):
        noise = random.Random(1)
        for shape in (bodies, lambda m: -bodies(m), lambda m: noise.uniform(-1, 1)):
            with self.subTest(shape):
                found = memory.problems(samples(FLAT, lambda m, s=shape: s(m) + linear(1.0)(m)))
                self.assertIn("memory in use grows", found[0])

    def test_a_leak_in_steps_is_growth(self):
        """1 MB at once, every 15 minutes: a table that is never given back."""
        self.assertIn("memory in use grows", memory.problems(samples(HOUR, lambda m: 1.0 * (m // 15)))[0])

    def test_holes_have_a_bound(self):
        self.assertEqual(memory.problems(samples(FLAT, holes=lambda m: 9.0 * (m % 7) / 7)), [])
        self.assertEqual(memory.problems(samples(FLAT, holes=lambda m: 13.0 if 20 <= m < 22 else 8.0)),
                         ["RssAnon is 13.0 MB above what is in use, in minute 20",
                          "RssAnon is 13.0 MB above what is in use, in minute 21"])

    def test_a_short_run_says_nothing(self):
        self.assertIsNone(memory.leak(samples(FLAT[:40], linear(10.0))))
        self.assertIsNone(memory.leak([]))


if __name__ == "__main__":
    unittest.main()
