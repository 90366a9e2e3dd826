"""The words that say what is wanted of the data: how much, which of them, by what, in which order. All of it is data."""

from __future__ import annotations

import re

from agents.llm.craftai.query import Aggregate, Grain, Operator

AGGREGATES: list[tuple[str, Aggregate]] = [
    (
        r"\b(percentage|percent|share|proportion|fraction|what part)\b|%(?=\s+of\b)|\brates?\b",
        "share",
    ),
    (
        r"\bhow many (?:minutes?|hours?|seconds?|miles?|kilomet(?:er|re)s?|km|dollars?|euros?|pounds?)\b(?: of)?",
        "sum",
    ),
    (r"\b(how many|number of|count(?:s)?(?: of)?|how often|# of)\b", "count"),
    (r"\b(average|mean|avg|typical(?:ly)?|on average)\b", "avg"),
    (r"\bmedian\b", "median"),
    (
        r"\b(total|sum(?: of)?|overall|altogether|combined|cumulative|how much|in all)\b",
        "sum",
    ),
]

MORE = "desc"

LESS = "asc"

SUPERLATIVES: dict[str, tuple[str, str]] = {
    # word: (order, the meaning of what it orders by; "" where the question names it, "count" for the number of rows)
    **dict.fromkeys(
        ["highest", "largest", "biggest", "greatest", "maximum", "max", "most", "top"],
        (MORE, ""),
    ),
    **dict.fromkeys(
        ["lowest", "smallest", "minimum", "min", "least", "fewest", "bottom"],
        (LESS, ""),
    ),
    **dict.fromkeys(["best", "leading"], (MORE, "best")),
    "worst": (MORE, "worst"),
    "longest": (MORE, "distance duration delay length"),
    "shortest": (LESS, "distance duration delay length"),
    **dict.fromkeys(["farthest", "furthest"], (MORE, "distance")),
    **dict.fromkeys(["nearest", "closest"], (LESS, "distance")),
    "slowest": (MORE, "duration delay"),
    "fastest": (LESS, "duration"),
    **dict.fromkeys(
        ["expensive", "priciest", "costliest", "dearest"], (MORE, "price amount")
    ),
    **dict.fromkeys(["cheapest", "inexpensive"], (LESS, "price amount")),
    **dict.fromkeys(["newest", "latest", "recent", "recently"], (MORE, "when")),
    "earliest": (LESS, "when"),
    "oldest": (LESS, "born"),
    "youngest": (MORE, "born"),
    "heaviest": (MORE, "weight"),
    "lightest": (LESS, "weight"),
    "richest": (MORE, "amount"),
    **dict.fromkeys(
        [
            "busiest",
            "popular",
            "common",
            "frequent",
            "frequently",
            "active",
            "commonest",
        ],
        (MORE, "count"),
    ),
    **dict.fromkeys(["rarest", "rare", "quietest"], (LESS, "count")),
    **dict.fromkeys(
        ["bestselling", "bestseller", "bestsellers", "selling"], (MORE, "sold")
    ),
}

SOFTENED = frozenset(
    """
    expensive recent recently popular common frequent frequently active rare late delayed
    """.split()  # noqa: SIM905  # read more easily as text
)
"""Adjectives that are superlatives only after most or least (`recent` also alone)."""

ALONE = frozenset({"recent", "recently"})

GRAINS: list[tuple[str, Grain]] = [
    (r"\b(?:day of (?:the )?week|weekdays?)\b", "weekday"),
    (r"\b(?:years?|yearly|annual(?:ly)?)\b", "year"),
    (r"\b(?:quarters?|quarterly)\b", "quarter"),
    (r"\b(?:months?|monthly)\b", "month"),
    (r"\b(?:weeks?|weekly)\b", "week"),
    (r"\b(?:days?|daily|dates?)\b", "day"),
    (r"\b(?:hours?|hourly)(?: of (?:the )?day)?\b", "hour"),
]

GRAIN_ADVERBS = re.compile(
    r"\b(yearly|annual(?:ly)?|quarterly|monthly|weekly|daily|hourly)\b"
)

GROUP_MARKERS = r"\b(?:per|by|for each|for every|each|every|across|grouped by|group by|broken down by|split by|within each|in each|in every|depending on)"

OPERATORS: list[tuple[str, Operator]] = [
    (r"(?:no less than|not less than|at least|minimum of|>=|no fewer than)", ">="),
    (r"(?:no more than|not more than|at most|up to|maximum of|<=)", "<="),
    (r"(?:not equal to|other than|!=|<>)", "!="),
    (
        r"(?:(?:more|greater|higher|larger|longer|later|older|bigger|farther|further|bigger|heavier) than|more expensive than|over|above|exceed(?:s|ed|ing)?|in excess of|beyond|>)",
        ">",
    ),
    (
        r"(?:(?:less|fewer|lower|smaller|shorter|younger|cheaper|earlier|lighter) than|under|below|<)",
        "<",
    ),
    (r"(?:exactly|equal(?:s)? to|equals|=|precisely)", "="),
]

NUMBER = r"(?P<number>[$€£]?\d[\d,]*(?:\.\d+)?(?:k\b)?|an?\b|half an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|fifty|sixty|ninety|(?:a )?hundred|(?:a )?thousand|(?:a )?dozen)"

UNIT = r"(?:[\s-]*(?P<unit>%|percent|minutes?|mins?|hours?|hrs?|h\b|seconds?|days?|miles?|mi\b|kilomet(?:er|re)s?|km\b|dollars?|usd|euros?|eur|pounds?|gbp|[$€£]|units?|pieces?|items?|years old|years?|stars?))?"

TIMES_OF = {"hour": 60, "hours": 60, "hr": 60, "hrs": 60, "h": 60}

UNIT_MEANING = {
    "minute": "delay duration",
    "hour": "delay duration",
    "second": "duration",
    "mile": "distance",
    "mi": "distance",
    "kilometer": "distance",
    "kilometre": "distance",
    "km": "distance",
    "dollar": "amount price",
    "usd": "amount price",
    "euro": "amount price",
    "eur": "amount price",
    "pound": "amount price",
    "gbp": "amount price",
    "$": "amount price",
    "€": "amount price",
    "£": "amount price",
    "unit": "quantity",
    "piece": "quantity",
    "item": "quantity",
    "year old": "age",
    "year": "age",
    "star": "rating",
    "percent": "percent rate",
    "%": "percent rate",
}

WORD_MEANING = {
    "older": "age",
    "younger": "age",
    "cheaper": "price",
    "expensive": "price amount",
    "farther": "distance",
    "further": "distance",
    "heavier": "weight",
    "lighter": "weight",
    "taller": "height",
    "longer": "duration distance length delay",
    "shorter": "duration distance length",
}

LATE = frozenset(["late", "delayed", "overdue", "tardy"])

EARLY = frozenset({"early"})

EVENTS = frozenset(
    [
        "departures",
        "arrivals",
        "takeoffs",
        "landings",
        "hires",
        "purchases",
        "signups",
        "entries",
    ]
)
"""Nouns for things that happened: each is a row, whatever column the word resembles."""

SHOW = re.compile(
    r"^\s*(?:please\s+|can you\s+|could you\s+)?(?:show|list|display|give|get|find|print|fetch)\b"
)

EXISTS = re.compile(
    r"^\s*(?:is|are|was|were) there\b|^\s*(?:do|did|does|have|has) (?:we|you|i|any|they|it)\b|^\s*(?:are|were|did) any\b"
)

CANT = [
    (
        r"\b(?:didn['’]t|doesn['’]t|don['’]t|hasn['’]t|haven['’]t|hadn['’]t|never)\b",
        "I don't read what did not happen: ask for what did, or put “not” right before a value.",
    ),
    (
        r"\b(?:predict|forecast|projection|will (?:be|have|happen)|going to|next (?:week|month|year|quarter))\b",
        "I can't look into the future: I read what the data holds.",
    ),
    (
        r"^\s*(?:but\s+)?why\b|\bthe reasons?\b|\bwhat caused?\b|\bexplain why\b",
        "I can't say why: I count, add up and compare, but I don't know causes.",
    ),
    (
        r"\b(?:correlat\w*|regression|standard deviation|std|variance|percentile|growth rate|year over year|month over month)\b",
        "I don't do statistics beyond counts, sums, means, medians, extremes and shares.",
    ),
    (
        r"\b(?:delete|drop|update|insert|remove|modify|truncate|overwrite)\b",
        "I only read data; I can't change it.",
    ),
    (
        r"\b(?:plot|chart|graph|draw|visuali[sz]e|diagram)\b",
        "I can't draw: I answer with text and small tables.",
    ),
    (
        r"\b(?:translate|poem|joke|story|essay|song|recipe|write (?:me )?(?:a|an|some)|capital of|weather)\b",
        "That is not something I can answer: I only read the data sources of this agent.",
    ),
]

LEADING = frozenset(
    """
    to from in at by with for about had have has named called is are was were of on via through without not
    """.split()  # noqa: SIM905  # read more easily as text
)

SKIPPED = frozenset(
    """
    the a an our my of different distinct unique all single individual various me is are was were has have had does do did you us there it its top
    bottom most least out
    """.split()  # noqa: SIM905  # read more easily as text
)

GRAIN_OF_UNIT: dict[str, Grain] = {
    "y": "year",
    "m": "month",
    "d": "day",
    "w": "weekday",
    "h": "hour",
}
VERBS = frozenset(
    """
    were was are is had have has that who came come comes arrived left departed operated with
    """.split()  # noqa: SIM905  # read more easily as text
)
HOW = {
    "long": "duration airtime length",
    "far": "distance",
    "late": "delay",
    "old": "age",
    "expensive": "price amount",
    "heavy": "weight",
    "tall": "height",
}
MONEY_WORDS = frozenset(
    """
    revenue sales turnover income spend spending spent value money
    """.split()  # noqa: SIM905  # read more easily as text
)
BARE_SUPERLATIVES = frozenset({"biggest", "largest", "greatest", "highest", "smallest"})
"""Said of somebody, without a number: of what they are worth."""
