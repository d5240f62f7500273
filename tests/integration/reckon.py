"""Windows, grains and averages, reckoned in Python: what the gateway's answers are held against."""
import calendar
import datetime
import math
import re
from decimal import Decimal

import pytest


def months_before(day, months):
    """The same day of an earlier month, or that month's last."""
    index = day.year * 12 + day.month - 1 - months
    year, month = index // 12, index % 12 + 1
    return datetime.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def window_start(end, window):
    """The first day of a window such as 30d, 12w, 6m, 1y that ends on (and includes) `end`."""
    count, unit = re.fullmatch(r"(\d+)([dwmy])", window).groups()
    before = {"d": lambda n: end - datetime.timedelta(n), "w": lambda n: end - datetime.timedelta(7 * n),
              "m": lambda n: months_before(end, n), "y": lambda n: months_before(end, 12 * n)}[unit](int(count))
    return before + datetime.timedelta(1)


def grain_start(day, grain):
    return {"day": day, "week": day - datetime.timedelta(day.weekday()), "month": day.replace(day=1), "year": day.replace(month=1, day=1)}[grain]


def mean(values):
    """Exact for decimals, compensated for floats; None of nothing."""
    if not values:
        return None
    return sum(values, Decimal(0)) / len(values) if isinstance(values[0], Decimal) else math.fsum(values) / len(values)


def total(values):
    if not values:
        return None
    return sum(values, Decimal(0)) if isinstance(values[0], Decimal) else math.fsum(values)


def same(told, reckoned, rel=1e-12):
    """A number of an answer (a JSON number, a text, or None) equals the reckoned one."""
    if told is None or reckoned is None:
        return told is None and reckoned is None
    return float(told) == pytest.approx(float(reckoned), rel=rel, abs=1e-12)


def statistics_of(rows, start, end):
    """rows: {day: value or None}. What a summary says of one measure."""
    values = [value for day, value in rows.items() if start <= day <= end and value is not None]
    return {"mean": mean(values), "min": min(values, default=None), "max": max(values, default=None), "days": len(values)}


def check_measure(told, reckoned, name=""):
    assert told["days"] == reckoned["days"], (name, told, reckoned)
    for part in ("mean", "min", "max"):
        assert same(told[part], reckoned[part]), (name, part, told, reckoned)


def aggregate(rows, grain, function):
    """{grain's first day: (aggregate of the values that are there, count of days with a row)}"""
    groups = {}
    for day in sorted(rows):
        groups.setdefault(grain_start(day, grain), []).append(rows[day])
    reckon = {"mean": mean, "sum": total}[function]
    return {start: (reckon([value for value in values if value is not None]), len(values)) for start, values in groups.items()}
