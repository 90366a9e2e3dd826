from __future__ import annotations

import re
import subprocess
import sys

import pytest
from genai_prices import Usage, calc_price

from agents.llm import PROVIDERS, list_models, provider_of, warm_up
from craft.exceptions import InvalidError, UnavailableError


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("craftai-1", "craftai"),
        ("craftai-1-fast", "craftai"),
        ("craftai-1-pro", "craftai"),
        ("gpt-4", "openai"),
        ("gpt-4.1-mini", "openai"),
        ("gpt-99-unheard-of", "openai"),
        ("o1", "openai"),
        ("o4-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("ft:gpt-4o-mini:acme::abc", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("claude-3-5-haiku-latest", "anthropic"),
    ],
)
def test_a_model_is_known_by_its_name(model, provider):
    assert provider_of(model).name == provider


@pytest.mark.parametrize(
    "model",
    [
        "",
        "gemini-2",
        "craftai-2",
        "craftai-1-turbo",
        "gpt",
        "omega",
        "llama",
        "gpt-4 ",
        "gpt-4\n",
        "GPT-4",
    ],
)
def test_an_unknown_name_is_refused_and_the_families_are_named(model):
    with pytest.raises(InvalidError) as refused:
        provider_of(model)
    for family in ("craftai-1", "gpt-", "claude-"):
        assert family in refused.value.message
    assert "model" in refused.value.details


def test_every_listed_model_is_one_of_its_provider():
    for model in list_models():
        assert provider_of(model.id).name == model.provider
        assert model.description


def test_list_prices_are_those_of_the_price_data_that_runs_are_reckoned_by():
    for model in list_models():
        if model.provider == "craftai":
            continue
        price = calc_price(
            Usage(input_tokens=1000, output_tokens=1000),
            model_ref=model.id,
            provider_id=model.provider,
        )
        assert float(price.input_price) * 1000 == pytest.approx(model.input_price), (
            model.id
        )
        assert float(price.output_price) * 1000 == pytest.approx(model.output_price), (
            model.id
        )


def test_document_000s_table_stands():
    table = {
        model.id: (model.throughput_rps, model.price_per_call)
        for model in list_models()
        if model.provider == "craftai"
    }
    assert table == {
        "craftai-1": (2000, 0.0004),
        "craftai-1-fast": (5000, 0.0007),
        "craftai-1-pro": (1000, 0.0012),
    }


def test_a_call_of_craftai_costs_the_same_whatever_it_took():
    craftai = PROVIDERS["craftai"]
    assert craftai.cost_micros("craftai-1", requests=4, cost=None) == 400
    assert craftai.cost_micros("craftai-1-pro", requests=1, cost=None) == 1200


@pytest.mark.parametrize(
    ("provider", "model", "setting"),
    [
        ("openai", "gpt-4", "OPENAI_API_KEY"),
        ("anthropic", "claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
    ],
)
def test_a_provider_without_a_key_names_the_setting(provider, model, setting, settings):
    setattr(settings, setting, "")
    assert not PROVIDERS[provider].is_available()
    with pytest.raises(UnavailableError, match=setting):
        PROVIDERS[provider].require(model)


def test_slow_libraries_are_not_imported_before_they_are_needed():
    code = "import django; django.setup(); import sys, agents.services, agents.views; print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'genai_prices', 'duckdb', 'sqlglot', 'psycopg') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"DJANGO_SETTINGS_MODULE": "craft.settings", "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.strip() == "[]"


def test_warming_up_imports_them():
    warm_up()
    assert {
        "pydantic_ai.models.openai",
        "pydantic_ai.models.anthropic",
        "agents.llm.craftai.model",
    } <= set(sys.modules)


def test_names_are_matched_in_full():
    for provider in PROVIDERS.values():
        assert not provider.names.fullmatch("x-" + provider.models[0].id)
        assert re.fullmatch(provider.names, provider.models[0].id)
