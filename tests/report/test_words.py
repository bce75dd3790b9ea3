"""Numbers are written as people read them."""

from __future__ import annotations

from bench.report.form.words import (
    gigabytes,
    joules,
    per_second,
    percent,
    points,
    rate,
    seconds,
    share,
    three_digits,
    watts,
)


def test_energies_are_written_as_people_read_them():
    assert [joules(value) for value in (0.01234, 12.34, 999.7, 45_678.0, None)] == [
        *("0.0123 J", "12.3 J", "1 kJ", "45.7 kJ", "-"),
    ]
    assert (watts(61.27), watts(float("nan"))) == ("61.3 W", "-")
    assert [three_digits(value) for value in (0.5, 999.6, 12_345.0)] == ["0.5", "1,000", "12,300"]


def test_rates_and_shares_are_written_as_people_read_them():
    assert [rate(value, "B/s") for value in (None, 12.0, 48.34e9, 999.9e9, 1.5e12)] == [
        *("-", "12 B/s", "48.3 GB/s", "1 TB/s", "1.5 TB/s")
    ]
    assert [share(value) for value in (None, 0.0312, 0.104, 1.34)] == [
        "-",
        "3.1 %",
        "10 %",
        "134 %",
    ]


def test_numbers_are_written_as_people_read_them():
    assert (percent(0.98074), percent(None), percent(float("nan"))) == ("98.07 %", "-", "-")
    assert (seconds(12.345), seconds(0.0123), seconds(1780.4), seconds(None)) == (
        "12.3 s",
        "12.3 ms",
        "1,780 s",
        "-",
    )
    assert (gigabytes(1.5e9), gigabytes(2.5e8), gigabytes(None)) == ("1.50 GB", "250 MB", "-")
    assert (points(-0.0042), points(0.0), points(None)) == ("-0.42", "+0.00", "-")
    assert (per_second(83_412.0), per_second(0.0), per_second(None)) == ("83,400", "-", "-")
