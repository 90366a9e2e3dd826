"""What the documentation says is so: its settings exist, its links lead somewhere, its calls work as they are printed."""

import ast
import gzip
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from workflows.management.commands import document_nodes
from workflows.nodes import NODES

ROOT = Path(settings.BASE_DIR)
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
CAPTURED = {
    "TOKEN": "token",
    "KEY": "api_key.key",
    "WORKFLOW": "id",
    "EXECUTION": "data.execution_id",
    "SOURCE": "data_source.connection_id",
    "AGENT": "agent.agent_id",
}
"""Where in the answer before it the README takes each variable from."""


# --- Settings ---


def variables_of_settings() -> set[str]:
    tree = ast.parse((ROOT / "craft/settings.py").read_text(encoding="utf-8"))
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
    }


def variables_of_page() -> list[str]:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([A-Z0-9_]+)` \|", page, re.MULTILINE)


def test_every_setting_is_described_once_and_no_other() -> None:
    described = variables_of_page()
    assert len(described) == len(set(described))
    assert set(described) == variables_of_settings()


# --- Node types ---


def test_every_node_type_is_described_as_it_is_with_its_example() -> None:
    text = (ROOT / "docs/nodes.md").read_text(encoding="utf-8")
    assert text == document_nodes.page()
    described = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert sorted(described) == sorted(NODES)
    shown = [json.loads(block) for kind, block in blocks_of(ROOT / "docs/nodes.md")]
    assert len(shown) == len(NODES)
    assert all(node.example in shown for node in NODES.values())


# --- Links ---


def links_of(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page) -> None:
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_the_paths_that_the_readme_names_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tracked = [path.name for path in ROOT.iterdir()]
    for named in re.findall(r"`([\w.-]+/[\w./-]*)`", readme):
        if named.split("/")[0] in tracked and named != "var/":
            assert (ROOT / named).exists(), named


# --- The README's calls ---


@dataclass
class Example:
    """A curl call, and what the README says it answers."""

    variables: list[str]
    """Those that its block takes from the answer before."""
    words: list[str]
    answer: Any


def blocks_of(page: Path) -> list[tuple[str, str]]:
    return re.findall(
        r"^```(\w+)\n(.*?)^```$",
        page.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )


def examples() -> list[Example]:
    found = []
    for kind, text in blocks_of(ROOT / "README.md"):
        if kind == "sh" and "curl" in text:
            variables = re.findall(r"^([A-Z]+)=", text, re.MULTILINE)
            call = text[text.index("curl ") :].replace("\\\n", " ")
            found.append(Example(variables, shlex.split(call), None))
        elif kind == "json":
            found[-1].answer = json.loads(text)
    return found


def options_of(words: list[str]) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        if word in {"-H", "-d", "-F"}:
            given.setdefault(word, []).append(next(rest))
    return given


def send(words: list[str], known: dict[str, str]) -> Any:
    words = [re.sub(r"\$([A-Z]+)", lambda name: known[name[1]], word) for word in words]
    options, path = options_of(words), next(word for word in words if word[0] == "/")
    headers = dict(header.split(": ", 1) for header in options.get("-H", []))
    credential = {
        f"HTTP_{name.upper()}": value
        for name, value in headers.items()
        if name == "Authorization"
    }
    client = APIClient()
    if "-F" in options:
        parts = dict(part.split("=", 1) for part in options["-F"])
        content = gzip.decompress(
            (ROOT / "craft/demo/flights_week1.csv.gz").read_bytes()
        )
        parts["file"] = SimpleUploadedFile(Path(parts["file"]).name, content)
        return client.post(path, parts, format="multipart", **credential)
    if "-d" in options:
        assert headers["Content-Type"] == "application/json"
        return client.post(path, json.loads(options["-d"][0]), **credential)
    return client.get(path, **credential)


def look_up(answer: Any, path: str) -> str:
    for name in path.split("."):
        answer = answer[name]
    return answer


def check_shape(shown: Any, answered: Any, path: str = "") -> None:
    """Whatever the README shows is in the answer, with its type; texts of a kind that changes from call to call may differ."""
    if isinstance(shown, dict):
        assert shown.keys() <= answered.keys(), path
        for name, value in shown.items():
            check_shape(value, answered[name], f"{path}.{name}")
    elif isinstance(shown, list):
        assert shown == [] or answered != [], path
        for number, (mine, theirs) in enumerate(zip(shown, answered, strict=False)):
            check_shape(mine, theirs, f"{path}.{number}")
    else:
        assert type(shown) is type(answered), path
        if path.endswith((".response", ".sql", ".row_count", ".type", ".role")):
            assert shown == answered, path


@pytest.mark.django_db
def test_the_readmes_calls_work_as_they_are_printed() -> None:
    known, answer = {"URL": ""}, None
    for example in examples():
        for name in example.variables:
            known.setdefault(name, look_up(answer, CAPTURED[name]) if answer else "")
        response = send(example.words, known)
        answer = response.json()
        assert response.status_code < 300, answer
        if example.answer.get("data", {}).get("status") == "completed":
            continue  # no worker runs here; what an execution says when it has ended is for other tests
        check_shape(example.answer, answer)
    assert set(known) == {"URL", *CAPTURED}


# --- The files that describe containers and hooks ---


def test_compose_runs_what_the_makefile_runs() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("worker", "scheduler"):
        command = " ".join(compose["services"][name]["command"])
        assert f"$(BIN)/{command}\n" in makefile, name


def test_hooks_are_local_and_call_what_is_installed() -> None:
    hooks = yaml.safe_load(
        (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    )
    for repository in hooks["repos"]:
        assert repository["repo"] == "local"
        assert all(hook["language"] == "system" for hook in repository["hooks"])
