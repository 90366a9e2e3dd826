"""When: the stretches of time that a question names, as numbers to compare."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from agents.llm.craftai.query import TimeCondition
from agents.llm.craftai.words import MONTH_NAMES, MONTHS, WEEKDAYS

MONTH = r"(?P<{0}month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
DAY = r"(?P<{0}day{1}>[0-3]?\d)(?:st|nd|rd|th)?"
YEAR = r"(?P<{0}year{1}>(?:19|20)\d\d)"
ISO = r"(?P<{0}iso>\d{{4}}-\d{{1,2}}(?:-\d{{1,2}})?)"


def day_pattern(prefix: str) -> str:
    """`2013-01-03`, `January 3rd, 2013`, `3 January`, `January 2013`, `2013`."""
    month, iso = MONTH.format(prefix), ISO.format(prefix)
    first = rf"{month}(?:\s+(?:the\s+)?{DAY.format(prefix, '1')}(?!\d|:))?(?:,?\s+(?:of\s+)?{YEAR.format(prefix, '1')})?"
    second_month = month.replace(f"{prefix}month", f"{prefix}month2")
    second = rf"(?:the\s+)?{DAY.format(prefix, '2')}\s+(?:of\s+)?{second_month}(?:,?\s+{YEAR.format(prefix, '2')})?"
    return rf"(?:{iso}|{second}|{first}|{YEAR.format(prefix, '3')})\b"


@dataclass(frozen=True)
class Day:
    """A date of which parts may be missing."""

    year: int | None = None
    month: int | None = None
    day: int | None = None

    @classmethod
    def of(cls, match: re.Match[str], prefix: str) -> Day:
        found = {
            key[len(prefix) :]: value
            for key, value in match.groupdict().items()
            if value and key.startswith(prefix)
        }
        if iso := found.get("iso"):
            return cls(*(int(part) for part in iso.split("-")))
        month = found.get("month") or found.get("month2")
        year = found.get("year1") or found.get("year2") or found.get("year3")
        day = found.get("day1") or found.get("day2")
        number = next(
            (MONTHS[name] for name in MONTHS if month and name == month.rstrip(".")),
            None,
        )
        return cls(int(year) if year else None, number, int(day) if day else None)

    @property
    def unit(self) -> str:
        return "".join(
            letter
            for letter, part in zip(
                "ymd", (self.year, self.month, self.day), strict=True
            )
            if part is not None
        )

    def number(self, unit: str, *, filler: int = 0) -> int:
        parts = {"y": self.year, "m": self.month, "d": self.day}
        total = 0
        for letter in unit:
            part = parts[letter]
            total = total * (100 if letter != "y" else 1) + (
                filler if part is None else part
            )
        return total

    def __str__(self) -> str:
        if self.year and self.month and self.day:
            return f"{self.year}-{self.month:02d}-{self.day:02d}"
        month = MONTH_NAMES[self.month - 1] if self.month and self.month <= 12 else ""
        return " ".join(str(part) for part in (month, self.day, self.year) if part)


def exactly(day: Day) -> TimeCondition:
    number = day.number(day.unit)
    return TimeCondition(
        day.unit, number, number, f"on {day}" if day.day else f"in {day}"
    )


def span(
    low: Day | None,
    high: Day | None,
    spoken: str,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> TimeCondition:
    """From one day to another, both included; an open end leaves the named day (or month, or year) itself out."""
    ends = [day for day in (low, high) if day is not None]
    unit = "".join(
        letter for letter in "ymd" if any(letter in day.unit for day in ends)
    )
    if (
        low is not None
        and high is not None
        and low.year is None
        and high.year is not None
    ):
        low = Day(high.year, low.month, low.day)
    elif (
        low is not None
        and high is not None
        and high.year is None
        and low.year is not None
    ):
        high = Day(low.year, high.month, high.day)
    if (
        low is not None
        and high is not None
        and high.month is None
        and low.month is not None
        and high.day is not None
    ):
        high = Day(high.year, low.month, high.day)
    first = (
        low.number(unit, filler=99 if low_open else 0)
        + (1 if low_open and unit == low.unit else 0)
        if low
        else None
    )
    last = (
        high.number(unit, filler=0 if high_open else 99)
        - (1 if high_open and unit == high.unit else 0)
        if high
        else None
    )
    return TimeCondition(unit, first, last, spoken)


def between(match: re.Match[str]) -> TimeCondition:
    low, high = Day.of(match, "a_"), Day.of(match, "b_")
    return span(low, high, f"from {low} to {high}")


def before(match: re.Match[str]) -> TimeCondition:
    day = Day.of(match, "a_")
    included = match["word"] in {"until", "through", "up to", "by"}
    return span(
        None, day, f"{'until' if included else 'before'} {day}", high_open=not included
    )


def after(match: re.Match[str]) -> TimeCondition:
    day = Day.of(match, "a_")
    left_out = match["word"] in {"after", "later than"}
    return span(
        day, None, f"{'after' if left_out else 'since'} {day}", low_open=left_out
    )


def on(match: re.Match[str]) -> TimeCondition:
    return exactly(Day.of(match, "a_"))


def quarter_of(match: re.Match[str]) -> TimeCondition:
    number = int(
        match["number"]
        or ("first", "second", "third", "fourth").index(match["word"]) + 1
    )
    year = int(match["year"]) if match["year"] else None
    spoken = f"in quarter {number}" + (f" of {year}" if year else "")
    return span(Day(year, number * 3 - 2), Day(year, number * 3), spoken)


def days_of_month(match: re.Match[str]) -> TimeCondition:
    low, high = int(match["low"]), int(match["high"])
    day = Day.of(match, "a_")
    return span(
        Day(day.year, day.month, low),
        Day(day.year, day.month, high),
        f"from {MONTH_NAMES[(day.month or 1) - 1]} {low} to {high}",
    )


def first_days(match: re.Match[str]) -> TimeCondition:
    day = Day.of(match, "a_")
    count = 7 if "week" in match["what"] else int(match["count"] or 1)
    return span(
        Day(day.year, day.month, 1),
        Day(day.year, day.month, count),
        f"in the first {count} days of {day}",
    )


def the_day(match: re.Match[str]) -> TimeCondition:
    number = int(match["number"])
    return TimeCondition("d", number, number, f"on day {number}")


def weekdays(match: re.Match[str]) -> TimeCondition | None:
    if match["weekend"]:
        return TimeCondition("w", None, None, "at the weekend", choices=(0, 6))
    if match["working"]:
        return TimeCondition("w", None, None, "on a weekday", choices=(1, 2, 3, 4, 5))
    names = re.findall(r"sun|mon|tue|wed|thu|fri|sat", match["names"])
    numbers = [
        next(
            number
            for number, name in enumerate(WEEKDAYS)
            if name.lower().startswith(found)
        )
        for found in names
    ]
    spoken = "on " + " or ".join(WEEKDAYS[number] for number in numbers)
    return TimeCondition("w", None, None, spoken, choices=tuple(numbers))


def hours(match: re.Match[str]) -> TimeCondition:
    word = (match["word"] or "at").strip()
    low = _hour(match["low"], match["half"] or match["half2"])
    if word.startswith(("between", "from")) and match["high"]:
        high = _hour(match["high"], match["half2"])
        return TimeCondition("h", low, high - 1, f"from {low}:00 to {high}:00")
    if word.startswith("before"):
        return TimeCondition("h", None, low - 1, f"before {low}:00")
    if word.startswith(("after", "since", "from")):
        return TimeCondition("h", low, None, f"from {low}:00 on")
    return TimeCondition("h", low, low, f"between {low}:00 and {low}:59")


def _hour(text: str, half: str | None) -> int:
    hour = int(text.split(":")[0])
    if half and half.startswith("p") and hour < 12:
        return hour + 12
    return 0 if half and half.startswith("a") and hour == 12 else hour


TIMES_OF_DAY = {
    "morning": (5, 11),
    "afternoon": (12, 17),
    "evening": (18, 21),
    "night": (22, 23),
}


def time_of_day(match: re.Match[str]) -> TimeCondition:
    low, high = TIMES_OF_DAY[match["name"]]
    return TimeCondition(
        "h", low, high, f"in the {match['name']} ({low}:00 to {high}:59)"
    )


def relative(match: re.Match[str], today: date) -> TimeCondition:
    what = match["day"]
    if what:
        day = today - timedelta(days=1) if what == "yesterday" else today
        return exactly(Day(day.year, day.month, day.day))
    unit, back = match["unit"], match["which"] in {"last", "previous"}
    if unit == "year":
        return exactly(Day(today.year - back))
    if unit == "month":
        first = today.replace(day=1)
        month = first - timedelta(days=1) if back else first
        return exactly(Day(month.year, month.month))
    if unit == "quarter":
        index = today.year * 4 + (today.month - 1) // 3 - back
        year, quarter = divmod(index, 4)
        return span(
            Day(year, quarter * 3 + 1),
            Day(year, quarter * 3 + 3),
            f"in quarter {quarter + 1} of {year}",
        )
    monday = today - timedelta(days=today.weekday() + 7 * back)
    return _dates(monday, monday + timedelta(days=6))


def last_n(match: re.Match[str], today: date) -> TimeCondition:
    count = int(match["count"])
    days = {"day": 1, "week": 7, "month": 30, "year": 365}[match["unit"]] * count
    return _dates(today - timedelta(days=days - 1), today)


def _dates(low: date, high: date) -> TimeCondition:
    start, end = Day(low.year, low.month, low.day), Day(high.year, high.month, high.day)
    return span(start, end, f"from {start} to {end}")


A, B = day_pattern("a_"), day_pattern("b_")
IN_MONTH = rf"{MONTH.format('a_')}(?:,?\s+{YEAR.format('a_', '1')})?\b"
CLOCK = r"(?P<{0}>[01]?\d|2[0-4])(?::00)?"
NAMED_DAY = r"(?:sun|mon|tues?|wednes|wed|thurs?|fri|satur|sat)(?:day)?s?"

Reader = Callable[[re.Match[str]], "TimeCondition | None"]

# In this order: the longer phrase takes its words before the shorter one looks.
PATTERNS: list[tuple[str, Reader]] = [
    (
        r"\b(?:in |of |during )?(?:the )?(?:q(?P<number>[1-4])|(?P<word>first|second|third|fourth) quarter)(?:,? (?:of )?(?P<year>(?:19|20)\d\d))?\b",
        quarter_of,
    ),
    (
        rf"\b(?:the\s+)?(?P<what>first week)(?P<count>)\s+(?:of|in)\s+{IN_MONTH}",
        first_days,
    ),
    (
        rf"\b(?:the\s+)?(?P<what>first\s+(?P<count>\d\d?)?\s*days?)\s+(?:of|in)\s+{IN_MONTH}",
        first_days,
    ),
    (
        rf"\b(?:between|from|on|in)?\s*{IN_MONTH}\s*(?P<low>\d\d?)(?:st|nd|rd|th)?\s*(?:-|–|to|and|through|until)\s*(?P<high>\d\d?)(?:st|nd|rd|th)?\b(?!-)",
        days_of_month,
    ),
    (rf"\b(?:between|from)\s+{A}\s+(?:and|to|until|through|till)\s+{B}", between),
    (rf"\b(?P<word>before|prior to|until|up to|earlier than|through|by)\s+{A}", before),
    (
        rf"\b(?P<word>after|since|later than|starting(?: from| on| in)?|from)\s+{A}",
        after,
    ),
    (
        rf"\b(?:on|in|during|for|of|from|at)\s+(?:the\s+)?(?:(?:month|year|day|date)\s+(?:of\s+)?)?{A}",
        on,
    ),
    (r"\bon\s+(?:the\s+)?(?P<number>[0-3]?\d)(?:st|nd|rd|th)\b", the_day),
    (r"\b(?:on\s+)?day\s+(?P<number>[0-3]?\d)\b", the_day),
    (
        rf"\b(?<!by )(?<!per )(?<!each )(?<!which )(?:on|at|in|during|over)?\s*(?:a\s+|the\s+)?(?:(?P<weekend>weekends?)|(?P<working>(?<=on )weekdays|workdays)|(?P<names>{NAMED_DAY.replace('(?:day)?s?', 'days?')}(?:\s*(?:,|and|or)\s*(?:on\s+)?{NAMED_DAY.replace('(?:day)?s?', 'days?')})*))\b",
        weekdays,
    ),
    (
        rf"\b(?P<word>between|from|before|after|since|at|around)\s+{CLOCK.format('low')}\s*(?P<half>[ap]\.?m\.?)?(?:\s*(?:and|to|-|–)\s*{CLOCK.format('high')})?\s*(?P<half2>[ap]\.?m\b\.?|o'?clock\b)",
        hours,
    ),
    (
        r"\b(?P<word>between|from|before|after|since|at|around)\s+(?:hour\s+)?(?P<low>[01]?\d|2[0-4]):00(?P<half>)(?:\s*(?:and|to|-|–)\s*(?P<high>[01]?\d|2[0-4]):00)?(?P<half2>)",
        hours,
    ),
    (
        r"\b(?:in|during|at)\s+(?:the\s+)?(?P<name>morning|afternoon|evening|night)s?\b",
        time_of_day,
    ),
    (rf"(?:^|(?<=\s)){A}(?=\s|[?.,!]|$)", on),
]
RELATIVE: list[tuple[str, Callable[[re.Match[str], date], TimeCondition]]] = [
    (
        r"\b(?:in|over|during|for|within)?\s*(?:the\s+)?(?:last|past|previous)\s+(?P<count>\d{1,4})\s+(?P<unit>day|week|month|year)s?\b",
        last_n,
    ),
    (
        r"\b(?:in\s+|of\s+|for\s+)?(?:(?P<day>today|yesterday)|(?P<which>this|last|previous|current|past)\s+(?P<unit>week|month|quarter|year))(?:'s)?\b",
        relative,
    ),
]
SURE_OF_YEAR = re.compile(
    r"\b(in|of|during|for|since|until|before|after|from|between|and|to|year|by)\s*$"
)


def find_times(
    text: str,
    take: Callable[[int, int], None],
    is_taken: Callable[[int, int], bool],
    today: date,
) -> list[TimeCondition]:
    """What the (lower-case) question says about when; `take` is told which stretch of it has been read."""
    found: list[TimeCondition] = []
    for pattern, read_now in RELATIVE:
        for match in re.finditer(pattern, text):
            if not is_taken(*match.span()):
                take(*match.span())
                found.append(read_now(match, today))
    for pattern, read in PATTERNS:
        for match in re.finditer(pattern, text):
            if is_taken(*match.span()) or not _is_time(match, text):
                continue
            condition = read(match)
            if condition is not None:
                take(*match.span())
                found.append(condition)
    return found


def _is_time(match: re.Match[str], text: str) -> bool:
    """`may` and `march` are months, and 2000 a year, only where the words around say so."""
    groups = match.groupdict()
    months = {value for key, value in groups.items() if value and "month" in key}
    numbers = [
        value
        for key, value in groups.items()
        if value and ("day" in key or "year" in key or "iso" in key)
    ]
    introduced = bool(SURE_OF_YEAR.search(text[: match.start()])) or match[
        0
    ].lstrip().startswith(
        (
            "in ",
            "of ",
            "during ",
            "since ",
            "until ",
            "before ",
            "after ",
            "from ",
            "between ",
            "on ",
            "for ",
            "by ",
            "the ",
            "first ",
        )
    )
    if months & {"may", "march", "mar", "sep", "dec", "jan", "oct"} and not numbers:
        return introduced
    only_year = not months and any(
        "year3" in key and value for key, value in groups.items()
    )
    if only_year and not any(groups.get(key) for key in groups if "iso" in key):
        return introduced
    return True
