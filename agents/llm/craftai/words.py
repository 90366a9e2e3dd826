"""English words as this model knows them: how a question is cut into tokens, which words carry no meaning here, and which mean about the same.

All of it is data. A word that is missing is added to a table below; nothing else has to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

TOKEN = re.compile(
    r"""
      (?P<quoted>"[^"]{1,120}"|“[^”]{1,120}”|(?<!\w)'[^']{1,120}'(?!\w))
    | (?P<mail>[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{0,100}\w)
    | (?P<date>\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?|\d{4}-\d{2}(?!\d))
    | (?P<clock>\d{1,2}:\d{2})
    | (?P<code>(?=[\w-]{0,60}\d)(?=[\w-]{0,60}[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*)
    | (?P<number>[$€£]?\d[\d,]*(?:\.\d+)?%?)
    | (?P<word>[^\W\d_]+(?:[_'’][^\W\d_]+)*)
    | (?P<sign>>=|<=|!=|<>|[<>=\#])
    """,
    re.VERBOSE,
)
ORDINAL = re.compile(r"^(\d{1,3})(?:st|nd|rd|th)$")
SHORT_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)(k|mm?|min|mins|h|hrs?|d|km|mi|pm|am)$")

NUMBER_WORDS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "ninety": 90,
    "hundred": 100,
    "thousand": 1000,
    "dozen": 12,
}


@dataclass(frozen=True)
class Token:
    text: str
    word: str
    """In lower case, without a possessive."""
    stem: str
    kind: str
    start: int
    end: int
    number: float | None = None


def tokenize(text: str) -> list[Token]:
    return [_token(match) for match in TOKEN.finditer(text)]


def _token(match: re.Match[str]) -> Token:
    kind = match.lastgroup or "word"
    text = match[0].strip("\"'“”") if kind == "quoted" else match[0]
    word = re.sub(r"['’]s?$", "", text.lower()) if kind == "word" else text.lower()
    number = _number(kind, word)
    if kind == "code" and number is not None:
        kind = "number"
    return Token(text, word, stem(word), kind, match.start(), match.end(), number)


def _number(kind: str, word: str) -> float | None:
    if kind == "number":
        return float(word.strip("$€£%").replace(",", ""))
    if kind == "code":
        if (ordinal := ORDINAL.match(word)) is not None:
            return float(ordinal[1])
        if (short := SHORT_NUMBER.match(word)) is not None:
            return float(short[1]) * (1000 if short[2] == "k" else 1)
    return None


IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "united": "united",
    "status": "status",
    "statuses": "status",
    "addresses": "address",
    "sold": "sell",
    "paid": "pay",
    "spent": "spend",
    "bought": "buy",
    "left": "leave",
    "flew": "fly",
    "flown": "fly",
    "flies": "fly",
    "made": "make",
    "earned": "earn",
    "data": "data",
    "series": "series",
    "news": "news",
    "taxes": "tax",
    "rating": "rating",
    "ratings": "rating",
    "rated": "rating",
    "cancelled": "cancel",
    "cancellation": "cancel",
    "cancellations": "cancel",
    "cancelling": "cancel",
}
VERB_ENDINGS = (("ing", 6), ("ed", 5))


@cache
def stem(word: str) -> str:
    """Takes the plural off, and what a verb's forms differ in: `delays`, `delayed` → `delay`."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending, length in VERB_ENDINGS:
        if word.endswith(ending) and len(word) >= length:
            word = _undouble(word[: -len(ending)])
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _undouble(word: str) -> str:
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsaeiou"
    return word[:-1] if doubled else word


SPLIT_NAME = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def split_name(name: str) -> list[str]:
    """The words of a column's or a table's name: `sched_dep_time` → scheduled, departure, time."""
    words = [part.lower() for part in SPLIT_NAME.findall(name)]
    if len(words) > 1:
        words = [word for word in words if not word.isdigit()]
    return [part for word in words for part in ABBREVIATIONS.get(word, word).split()]


def label_of(name: str) -> str:
    """A column's name as a person would say it: `dep_delay` → `departure delay`."""
    return " ".join(split_name(name)) or name


def singular(word: str) -> str:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plural(word: str) -> str:
    if word.endswith("s") and singular(word) != word:
        return word
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


ABBREVIATIONS = {
    "acct": "account",
    "addr": "address",
    "amt": "amount",
    "arr": "arrival",
    "avg": "average",
    "cat": "category",
    "cnt": "count",
    "cust": "customer",
    "dep": "departure",
    "dept": "department",
    "desc": "description",
    "dest": "destination",
    "dob": "birthday",
    "dt": "date",
    "emp": "employee",
    "hr": "hour",
    "inv": "invoice",
    "max": "maximum",
    "mgr": "manager",
    "min": "minimum",
    "mo": "month",
    "no": "number",
    "nr": "number",
    "num": "number",
    "org": "organisation",
    "pct": "percent",
    "prod": "product",
    "qty": "quantity",
    "sched": "scheduled",
    "sec": "second",
    "tailnum": "tail number",
    "tel": "phone",
    "temp": "temperature",
    "tot": "total",
    "tz": "timezone",
    "yr": "year",
}

# Words that mean about the same when they name a table or a column. A word may stand in several groups.
SYNONYMS = [
    "customer client buyer shopper purchaser consumer patron spender",
    "user member subscriber account",
    "amount revenue sale turnover total spend income proceeds value pay sum worth gross earn earning money takings",
    "price cost fee charge fare rate",
    "quantity unit piece sell volume copy",
    "stock inventory hand available",
    "status state stage progress",
    "product item article good sku merchandise",
    "order purchase transaction buy",
    "invoice bill",
    "employee staff worker colleague personnel",
    "salary wage pay earn earning compensation",
    "department team division unit",
    "city town",
    "country nation",
    "region area territory zone",
    "category type kind group class genre segment",
    "rating score star review grade",
    "channel medium source",
    "phone telephone mobile number",
    "email mail",
    "carrier airline operator",
    "origin airport departure",
    "destination airport dest arrival",
    "tail plane aircraft airplane",
    "departure depart leave takeoff dep",
    "arrival arrive land arr",
    "scheduled schedule planned plan",
    "delay late delayed lateness overdue",
    "distance mile kilometre kilometer km far",
    "airtime air airborne",
    "duration length time minute",
    "scheduled planned",
    "shipped ship dispatch sent",
    "delivered deliver",
    "created create made placed date opened",
    "supplier vendor manufacturer maker brand",
    "store shop outlet branch location",
    "discount reduction",
    "tax vat",
    "student pupil",
    "teacher instructor tutor",
    "age old year",
    "doctor physician",
    "ticket issue case request",
    "priority urgency",
    "agent assignee owner rep representative salesperson seller",
    "profit margin gain",
    "visit session view",
]
GENERIC = frozenset(
    stem(word)
    for word in """
    id name number code type date time value count key no label day unit minute hour year group kind
    """.split()  # noqa: SIM905  # read more easily as text
)
"""Words that name a column only when they are all its name says."""

# Words that never name a table or a column.
FUNCTION = frozenset(
    """
    a an the this that these those there here it its they them their he she his her him we us our ours you your yours i me my mine is are was were be
    been being am do does did done doing has have had having can could will would shall should may might must of in on at to from for with by as into
    onto about over under per than then so and or but if not no nor also too only just what which who whom whose when where why how many much any some
    all each every both either other such same own 'm 're s t d ll ve re m hi hello hey thanks thank ok okay
    """.split()  # noqa: SIM905  # read more easily as text
)

# What carries no meaning of its own in a question about a table.
STOP = FUNCTION | frozenset(
    """
    please kindly tell show give list display find get fetch let know want need like see look help say let's data dataset set table file sheet csv
    database record records row rows entry entries line lines source sources column columns thing things stuff information info details detail result
    results answer question number count counts total totals sum average mean median maximum minimum max min avg amount overall altogether combined
    most least highest lowest largest smallest biggest greatest fewest best worst top bottom first last next more less fewer greater higher lower
    longer shorter larger smaller bigger above below between at least exactly equal equals different distinct unique various separate except excluding currently
    current now ever far still already yet again really actually exactly roughly about around exist exists existing contain contains include includes
    included including appear appears occur occurs occurred happen happened got make makes made take takes took taken place placed come comes came go
    goes went going according based terms respect grouped group broken down split breakdown across among within during since until before after out up
    off via versus vs compare compared comparison difference one ones two three four five six seven eight nine ten well right sure yes yeah percentage
    percent share proportion fraction ratio rate calculate compute determine work analyse analyze summarise summarize rank ranked ranking sort sorted
    order ordered ascending descending list lists name names sample example examples available possible whole entire complete full given particular
    certain specific worth there's what's who's that's time times use used using store stored hold held belong belongs registered listed recorded
    """.split()  # noqa: SIM905  # read more easily as text
)

# Verbs and nouns of trades that say nothing about which rows are meant, once a table is chosen.
FILLERS = frozenset(
    stem(word)
    for word in """
    operate run operated fly flew flown flight depart leave left arrive land travel book booked serve served carry carried route airport buy bought
    purchase sell sold order placed place spend spent generate generated bring brought earn earned cost pay paid receive received work employ employed
    earn live lives located based handle handled process processed complete customer business company companies perform performed performance
    experience experienced suffer suffered see seen reach reached have minute minutes mile miles hour hours dollar dollars usd euro euros eur pound
    pounds gbp percent unit units piece pieces long old far big high low large small new popular common frequent busy week weekly month monthly daily
    yearly annual hourly day days year years quarter today past recent recently latest newest oldest earliest go trip journey transport ship person
    people someone anybody everyone me
    """.split()  # noqa: SIM905  # read more easily as text
)

MONTHS = {
    name: number
    for number, names in enumerate(
        [
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sept sep",
            "october oct",
            "november nov",
            "december dec",
        ],
        start=1,
    )
    for name in names.split()
}
MONTH_NAMES = """
    January February March April May June July August September October November December
    """.split()  # noqa: SIM905  # read more easily as text
WEEKDAYS = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
]


@cache
def _groups() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, group in enumerate(SYNONYMS):
        for word in group.split():
            found.setdefault(stem(word), set()).add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}


def likeness(one: str, other: str) -> float:
    """How near two stems are: 1 the same word, 0.7 words of one meaning, 0 strangers."""
    if one == other:
        return 1.0
    return 0.7 if meanings(one) & meanings(other) else 0.0


def meanings(stem_of: str) -> frozenset[int]:
    """By number: stems that share one mean about the same."""
    return _groups().get(stem_of, frozenset())


def are_like(stem_of: str, words: Iterable[str]) -> bool:
    return any(likeness(stem_of, stem(word)) > 0 for word in words)
