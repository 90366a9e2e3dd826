"""What the customer does, in order. Each step looks first for what an earlier, interrupted demo left, and goes on from there."""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.contrib.auth import get_user_model

from craft.demo import flights, state
from craft.demo.customer import Customer, RefusedError

COMPANY = "Demo Airline Analytics"
SOURCE = "New York departures"
AGENT = "Flight analyst"
QUESTIONS = (
    "Which carrier had the highest average departure delay?",
    "How many flights left JFK on 2013-01-03?",
    "What are the top five destinations by number of flights?",
)
RUNS = 250  # of each workflow: hundreds, and well within the 1,000 calls an hour of the plan that a new company starts on
AT_ONCE = 8
PAGE = 100
PATIENCE_SECONDS = 120


def make_operator(known: dict[str, Any]) -> None:
    """The one who may open the admin. The password is kept until it has been shown."""
    users = get_user_model()
    if users.objects.filter(is_superuser=True).exists():
        return
    known.setdefault("admin_password", secrets.token_urlsafe(12))
    state.save(known)
    users.objects.create_superuser(email=state.ADMIN, password=known["admin_password"])


def enter(customer: Customer, known: dict[str, Any]) -> None:
    """Register the company, or log in where that was done; then work with a key of its own."""
    if "key" in known:
        customer.credential = known["key"]
        return
    known.setdefault("password", f"{secrets.token_urlsafe(12)}-Aa1")
    state.save(known)
    person = {"email": state.CUSTOMER, "password": known["password"]}
    try:
        session = customer.post(
            "/api/v1/auth/register",
            person | {"full_name": "Dana Demo", "company_name": COMPANY},
        )
    except RefusedError as error:
        if error.status != 409:
            raise
        session = customer.post("/api/v1/auth/login", person)
    customer.credential = session["token"]
    made = customer.post("/api/v1/account/api-keys", {"name": "Demo"})["api_key"]
    known |= {"registered": True, "key": made["key"]}
    state.save(known)
    customer.credential = known["key"]


def bring_data(customer: Customer) -> Any:
    for source in customer.get("/api/v1/data-sources")["data_sources"]:
        if source["source_name"] == SOURCE:
            return source
    return customer.upload(
        "/api/v1/data-sources/upload",
        "flights.csv",
        flights.as_csv(),
        source_name=SOURCE,
    )["data_source"]


def hire(customer: Customer, source_id: str) -> Any:
    for agent in customer.get("/api/v1/agents")["agents"]:
        if agent["name"] == AGENT:
            return agent
    body = {
        "name": AGENT,
        "type": "analytics",
        "model": "craftai-1",
        "data_sources": [source_id],
    }
    return customer.post("/api/v1/agents", body)["agent"]


def ask(customer: Customer, agent_id: str) -> Iterator[tuple[str, Any]]:
    for question in QUESTIONS:
        yield (
            question,
            customer.post(f"/api/v1/agents/{agent_id}/execute", {"input": question}),
        )


def find_or_make(customer: Customer, definition: dict[str, Any]) -> Any:
    for workflow in customer.get(f"/v1/workflows?search={definition['name']}")["data"]:
        if workflow["name"] == definition["name"]:
            return workflow
    made = customer.post("/v1/workflows", definition)
    return made.get("data", made)  # a pipeline's creation is answered flat


def trigger(customer: Customer, workflow: Any, advance: Callable[[], None]) -> None:
    """Send one flight after the other, several at once, without waiting for any; not those that an interrupted demo had sent."""
    path = f"/v1/workflows/{workflow['id']}/trigger"
    sent = [execution["input"] for execution in executions_of(customer, workflow)]

    def send(flight: dict[str, Any]) -> None:
        if flight not in sent:
            customer.post(path, flight)
        advance()

    with ThreadPoolExecutor(AT_ONCE) as senders:
        list(senders.map(send, flights.sample(RUNS)))


def drain(customer: Customer, workflow: Any, report: Callable[[int], None]) -> None:
    """Watch the worker until nothing is left."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    ended = -1
    while ended < RUNS:
        ended = customer.get(f"/v1/workflows/{workflow['id']}")["data"]["metrics"][
            "executions"
        ]
        report(ended)
        if time.monotonic() > give_up_at:
            raise RefusedError(
                0,
                f"after {PATIENCE_SECONDS} s only {ended} of {RUNS} executions had ended",
            )
        time.sleep(0.25)


def executions_of(customer: Customer, workflow: Any) -> list[Any]:
    path = f"/v1/workflows/{workflow['id']}/executions?limit={PAGE}"
    found, cursor = [], ""
    while cursor is not None:
        page = customer.get(f"{path}&cursor={cursor}" if cursor else path)
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    return found
