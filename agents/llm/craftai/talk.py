"""What is said without looking anything up: greetings, thanks, what this model is, and what it can't do."""

from __future__ import annotations

import re

NAME = "craftai-1"
WHAT_I_AM = (
    f"I am {NAME}, Craft's built-in model. I follow fixed rules and not a large language model: I find the table that a question in English is about, "
    "turn the question into SQL, run it, and answer with what came back. I count, add up, average, compare, rank, group and look up rows. "
    "I don't guess, chat at length, or know anything beyond this agent's data sources."
)
NO_SOURCES = (
    "This agent has no data sources, and I answer from data only. Attach one (`data_sources` of the agent) and ask again, "
    "or choose a model of another provider for free conversation."
)

TOO_LONG = "That is more than I can take in at once. Please ask a shorter question."

GREETING = re.compile(
    r"^(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening|day)|greetings|howdy)\b[\s,!.]*(?:there|all|everyone|team|craft\w*)?[\s,!.?]*",
    re.IGNORECASE,
)
SMALL_TALK: list[tuple[re.Pattern[str], str]] = [
    (
        re.compile(
            r"^(?:thanks|thank you|thx|cheers|great|perfect|awesome|nice|cool|ok(?:ay)?|got it)\b[^?]{0,40}$",
            re.IGNORECASE,
        ),
        "You're welcome. Ask me more about the data whenever you like.",
    ),
    (re.compile(r"^(?:good)?bye\b|^see you\b", re.IGNORECASE), "Goodbye!"),
    (
        re.compile(r"^how are you\b|^how(?:'s| is) it going\b", re.IGNORECASE),
        "I'm fine, thank you. What would you like to know about the data?",
    ),
    (
        re.compile(
            r"\b(?:who|what) are you\b|\byour name\b|\bare you (?:a |an )?(?:human|bot|robot|ai|llm|model|real|chatgpt|gpt)\b|\bwhat model\b",
            re.IGNORECASE,
        ),
        WHAT_I_AM,
    ),
]
ABOUT_DATA = re.compile(
    r"""
      \bwhat\ (?:can|could|should|do)\ (?:you|i)\ (?:do|ask|answer|know|tell|help)
    | ^\s*help\b
    | \bhow\ (?:can|do)\ (?:you\ help|i\ use)
    | \b(?:what|which)\ (?:data|information|info|tables?|data\ ?sources?|sources?|files?|data\ ?sets?|columns?|fields?)\ (?:do|does|are|is|can|have|has)\b
    | \bwhat(?:'s|\ is)\ in\ (?:the|this|my|your|our)\ (?:data|table|file|dataset|database|source)
    | \b(?:describe|explain|summari[sz]e|tell\ me\ about|show(?:\ me)?)\ (?:the\ |this\ |my\ |your\ |our\ )?(?:data|data\ ?set|data\ ?sources?|database|schema|tables?|columns?|structure|fields)\b
    | \b(?:list|show)\ (?:me\ )?(?:all\ )?(?:the\ )?(?:tables|columns|fields|data\ ?sources|sources)\b
    | \bhow\ many\ (?:tables|columns|fields|data\ ?sources|sources)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
SQL = re.compile(r"^\s*(?:select|with)\b.+\bfrom\b", re.IGNORECASE | re.DOTALL)


ABOUT_PERIOD = re.compile(
    r"\b(?:what|which)\s+(?:period|time\s?(?:span|frame|range)|date range|dates|months?|years?|days)\s+(?:do|does|is|are)\b.*\b(?:data|table|cover|covers|span|from)\b"
    r"|\bhow (?:old|recent|current|far back)\b.*\bdata\b",
    re.IGNORECASE,
)


def without_greeting(text: str) -> str:
    return GREETING.sub("", text, count=1).strip()


def small_talk(text: str) -> str | None:
    """The answer to what is no question about data, if it is none."""
    if not without_greeting(text) or not re.search(r"\w", text):
        return "Hello! I answer questions about this agent's data. What would you like to know?"
    return next(
        (
            answer
            for pattern, answer in SMALL_TALK
            if pattern.search(without_greeting(text))
        ),
        None,
    )


def asks_about_period(text: str) -> bool:
    return ABOUT_PERIOD.search(text) is not None


def asks_about_data(text: str) -> bool:
    return ABOUT_DATA.search(text) is not None
