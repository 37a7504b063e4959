#!/usr/bin/env python3
"""The rule about memory of a soak, with recorded hours and with leaks that are put into them."""
import random
import unittest

import memory

# Medians of each minute, in MB, of two hours without a leak. Memory went back to the system in minutes 17 and 27 to
# 30 of the first, and in minute 53 of the other.
HOUR = [14.1, 16.6, 17.1, 17.6, 17.8, 19.0, 19.9, 20.1, 20.1, 20.2, 20.2, 20.2, 20.2, 20.2, 22.2, 23.5, 25.5, 25.6, 19.3,
        19.8, 20.0, 20.0, 20.4, 20.4, 20.5, 20.5, 20.9, 21.1, 19.7, 20.4, 19.1, 19.5, 19.9, 20.0, 20.0, 20.0, 20.1, 20.1,
        20.1, 20.1, 20.1, 20.1, 20.1, 20.1, 20.1, 20.2, 20.2, 20.2, 20.3, 20.3, 20.3, 20.3, 20.3, 20.3, 20.3, 20.3, 20.4,
        20.4, 20.4, 20.4, 20.4]
ANOTHER = [13.1, 15.6, 16.9, 17.1, 17.1, 17.3, 17.4, 17.4, 17.4, 17.3, 18.1, 18.1, 18.1, 18.1, 18.1, 18.3, 18.3, 18.3, 18.3,
           18.3, 18.4, 18.4, 18.4, 18.4, 18.4, 18.4, 18.4, 18.4, 18.4, 18.4, 18.5, 18.1, 18.1, 18.1, 18.1, 18.1, 18.1, 18.0,
           18.0, 18.2, 18.2, 18.3, 18.3, 19.7, 20.3, 20.4, 20.4, 20.5, 20.5, 20.5, 20.5, 20.5, 20.5, 20.5, 18.2, 18.5, 18.7,
           18.8, 18.8, 18.8, 18.8]
FLAT = [20.0] * 61


def samples(series, leaks=lambda minute: 0.0):
    """One a second."""
    return [{"t": t, "rss": (series[t // 60] + leaks(t / 60)) * memory.MB} for t in range(60 * len(series))]


def linear(mb_an_hour):
    return lambda minute: mb_an_hour * minute / 60


def trims(minute):
    """8 MB go back for two minutes of eleven."""
    return -8.0 if minute % 11 < 2 else 0.0


def holes(minute):
    """They grow to 8 MB and go back, every seven minutes."""
    return 8.0 * (minute % 7) / 7


class Memory(unittest.TestCase):
    def test_hours_without_a_leak_do_not_grow(self):
        for series in (HOUR, ANOTHER, FLAT):
            self.assertEqual(memory.grows(samples(series)), "")

    def test_trims_and_holes_are_no_growth(self):
        for shape in (trims, holes, lambda m: 5.0 if 30 <= m < 40 else 0.0):
            self.assertEqual(memory.grows(samples(FLAT, shape)), "")

    def test_a_leak_of_1_mb_an_hour_is_growth(self):
        for series in (HOUR, ANOTHER):
            self.assertIn("RssAnon grows by 1.", memory.grows(samples(series, linear(1.0))))

    def test_a_leak_is_growth_whatever_is_around_it(self):
        noise = random.Random(1)
        for shape in (trims, holes, lambda m: noise.uniform(-1, 1)):
            with self.subTest(shape):
                self.assertIn("RssAnon grows", memory.grows(samples(FLAT, lambda m, s=shape: s(m) + linear(2.0)(m))))

    def test_a_leak_in_steps_is_growth(self):
        """2 MB at once, every 15 minutes: a table that is never given back."""
        self.assertIn("RssAnon grows", memory.grows(samples(HOUR, lambda m: 2.0 * (m // 15))))

    def test_a_short_run_says_nothing(self):
        self.assertIsNone(memory.leak(samples(HOUR[:40], linear(10.0))))
        self.assertIsNone(memory.leak([]))


if __name__ == "__main__":
    unittest.main()
