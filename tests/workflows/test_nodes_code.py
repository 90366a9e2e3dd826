"""The node type code: what programs may do, and what hostile ones can't."""

import asyncio
import os
import time

import pytest

from craft.exceptions import UnavailableError
from tests.workflows.calls import CATALOGUE, NodeCall, error_of, faults_of, output_of
from workflows.nodes import monty
from workflows.nodes.base import NodeError

PYTHON, JAVASCRIPT = "python", "javascript"


def result_of(language: str, code: str, input: object = None, **config) -> object:
    return output_of("code", {"language": language, "code": code, **config}, input)


def failure_of(language: str, code: str, input: object = None, **config):
    return error_of("code", {"language": language, "code": code, **config}, input)


def result_or_code(language: str, code: str) -> object:
    try:
        return result_of(language, code)
    except NodeError as error:
        return error.code


def python(body: str) -> str:
    return f"def main(input, variables):\n    {body}\n"


def javascript(body: str) -> str:
    return f"function main(input, variables) {{ {body} }}"


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({}, {"code"}),
        ({"code": "def main(:"}, {"code"}),
        ({"code": "x = 1"}, {"code"}),
        ({"code": "-" * 40_000 + "1"}, {"code"}),
        ({"code": "a" + "()" * 20_000}, {"code"}),
        ({"code": "\x00"}, {"code"}),
        ({"code": "let x", "language": JAVASCRIPT}, {"code"}),
        ({"code": python("pass"), "language": "perl"}, {"language"}),
        ({"code": python("pass"), "max_seconds": 600}, {"max_seconds"}),
        ({"code": python("pass"), "max_memory_mb": 1}, {"max_memory_mb"}),
        ({"code": "x" * 50_001}, {"code"}),
    ],
)
def test_a_bad_config_is_a_fault_where_it_stands(config, paths) -> None:
    assert faults_of("code", config).keys() == paths


def test_braces_in_code_are_not_an_expression() -> None:
    code = python("return {'a': {'b': '{{ input.x }}'}}")
    assert faults_of("code", {"code": code}) == {}
    assert result_of(PYTHON, code) == {"a": {"b": "{{ input.x }}"}}
    assert CATALOGUE["code"].suspends({"code": code})


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (PYTHON, python("return {'in': input, 'n': input['n'] + variables['n']}")),
        (JAVASCRIPT, javascript("return {in: input, n: input.n + variables.n}")),
        (
            JAVASCRIPT,
            "async function main(input, {n}) { return {in: await input, n: await input.n + n}; }",
        ),
    ],
)
def test_code_is_given_input_and_variables(language, code) -> None:
    value = {"n": 1, "l": [None, True, 1.5, "ü€\u2028"], "deep": {"a": {}}}
    scope = {"variables": {"n": 41}}
    config = {"language": language, "code": code}
    assert output_of("code", config, value, scope=scope) == {"in": value, "n": 42}
    aside = {**config, "input": "{{ input.inner }}"}
    given = {"inner": {"n": 1}}
    assert output_of("code", aside, given, scope=scope) == {"in": {"n": 1}, "n": 42}


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        (PYTHON, python("return None"), None),
        (PYTHON, python("return (1, [2.5])"), [1, [2.5]]),
        (PYTHON, "import re\n" + python("return re.findall('a.', input)"), ["ab", "ac"]),
        (JAVASCRIPT, javascript(""), None),
        (JAVASCRIPT, "const main = (input) => input.match(/a./g)", ["ab", "ac"]),
        (JAVASCRIPT, javascript("return [NaN, new Date(0)]"), [None, "1970-01-01T00:00:00.000Z"]),
    ],
)  # fmt: skip
def test_what_main_gives_is_json(language, code, expected) -> None:
    assert result_of(language, code, "ab ac") == expected


@pytest.mark.parametrize(
    ("language", "code", "words"),
    [
        (PYTHON, python("return 1 / 0"), "ZeroDivisionError: division by zero (line 2)"),
        (PYTHON, python("return input['x']"), "KeyError"),
        (PYTHON, python("return {1, 2}"), "not JSON serializable"),
        (PYTHON, python("return float('nan')"), "JSON"),
        (PYTHON, python("return main"), "not JSON serializable"),
        (PYTHON, "def main():\n    pass\n", "TypeError"),
        (PYTHON, python("a = []; a.append(a); return a"), "ValueError"),
        (JAVASCRIPT, javascript("throw new TypeError('bad thing')"), "TypeError: bad thing; at main (code:1"),
        (JAVASCRIPT, javascript("return x"), "ReferenceError: x is not defined"),
        (JAVASCRIPT, "function main( {", "SyntaxError"),
        (JAVASCRIPT, "let main = 5", "not a function"),
        (JAVASCRIPT, javascript("return 10n"), "BigInt"),
        (JAVASCRIPT, javascript("const a = {}; a.a = a; return a"), "circular"),
        (JAVASCRIPT, "async function main() { throw new Error('later') }", "Error: later"),
        (JAVASCRIPT, javascript("return new Promise(() => {})"), "never answers"),
    ],
)  # fmt: skip
def test_code_that_fails_says_how_and_where(language, code, words) -> None:
    error = failure_of(language, code, {})
    assert (error.code, error.retryable) == ("code_failed", False)
    assert words in error.message


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (PYTHON, python("while True: pass")),
        (PYTHON, "while True:\n    pass\n" + python("pass")),
        (PYTHON, python("try:\n        while True: pass\n    except BaseException:\n        while True: pass")),
        (PYTHON, python("import time; time.sleep(60)")),
        (PYTHON, python("x = []\n    while True: x.append('a' * 1000)")),
        (PYTHON, python("return 'a' * 10**10")),
        (PYTHON, python("return 10 ** 10 ** 9")),
        (PYTHON, python("x = [1]\n    for _ in range(60): x = [x, x]\n    return x")),
        (PYTHON, python("while True: print('x' * 1000)")),
        (PYTHON, python("return 'a' * 5_000_000")),
        (JAVASCRIPT, javascript("while (true) {}")),
        (JAVASCRIPT, "while (true) {} " + javascript("")),
        (JAVASCRIPT, javascript("try { while (true) {} } finally { while (true) {} }")),
        (JAVASCRIPT, "async function main() { while (true) await 1 }"),
        (JAVASCRIPT, javascript("const x = []; while (true) x.push('a'.repeat(1000) + Math.random())")),
        (JAVASCRIPT, javascript("let a = 'x'; while (true) a += a")),
        (JAVASCRIPT, javascript("return new Array(1e9).fill(0)")),
        (JAVASCRIPT, javascript("return /(a+)+$/.test('a'.repeat(50) + 'b')")),
        (JAVASCRIPT, javascript("return 'a'.repeat(5e6)")),
        (JAVASCRIPT, javascript("let x = [1]; for (let i = 0; i < 60; i++) x = [x, x]; return x")),
        (JAVASCRIPT, "JSON.stringify = () => 'x'.repeat(5e6); " + javascript("")),
    ],
)  # fmt: skip
def test_code_ends_at_its_limits(language, code) -> None:
    began = time.monotonic()
    error = failure_of(language, code, max_seconds=0.1, max_memory_mb=16)
    assert error.code == "over_limit"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (PYTHON, "def main(input, variables):\n    return main(input, variables)\n"),
        (PYTHON, python("return open('/etc/passwd').read()")),
        (PYTHON, python("from pathlib import Path; return Path('/etc/passwd').read_text()")),
        (PYTHON, python("import os; return os.system('id')")),
        (PYTHON, python("import os; return dict(os.environ)")),
        (PYTHON, python("import subprocess")),
        (PYTHON, python("import socket")),
        (PYTHON, python("import ctypes")),
        (PYTHON, python("import workflows.models")),
        (PYTHON, python("import django")),
        (PYTHON, python("return __import__('os').name")),
        (PYTHON, python("return ().__class__.__base__.__subclasses__()")),
        (PYTHON, python("return main.__globals__")),
        (PYTHON, python("return (lambda: 0).__code__.co_code")),
        (PYTHON, python("return eval('__import__(\"os\")')")),
        (JAVASCRIPT, javascript("return main()")),
        (JAVASCRIPT, javascript("return require('fs').readFileSync('/etc/passwd')")),
        (JAVASCRIPT, "async function main() { return (await import('os')).default }"),
        (JAVASCRIPT, javascript("return std.open('/etc/passwd', 'r')")),
        (JAVASCRIPT, javascript("return os.exec(['id'])")),
        (JAVASCRIPT, javascript("return process.env")),
        (JAVASCRIPT, javascript("return fetch('http://127.0.0.1/')")),
        (JAVASCRIPT, javascript("return this.constructor.constructor('return process')()")),
    ],
)  # fmt: skip
def test_code_reaches_nothing_outside(language, code) -> None:
    assert failure_of(language, code).code == "code_failed"


@pytest.mark.parametrize(
    "code",
    [
        "Object.prototype.value = 'evil'; " + javascript("return {}"),
        "Object.prototype.over_limit = 'evil'; " + javascript("return {}"),
        "Promise.prototype.then = null; " + javascript("return {}"),
        "globalThis.__answer = '[1]'; JSON.stringify = () => '[1]'; " + javascript(""),
        "JSON.stringify = () => '{'; " + javascript(""),
        "JSON.parse = () => ({}); " + javascript("return {}"),
        "globalThis.__lines = 5; " + javascript("return {}"),
        "globalThis.__lines = [{}, 1]; " + javascript("return {}"),
    ],
)
def test_a_program_can_only_fool_itself(code) -> None:
    outcome = result_or_code(JAVASCRIPT, code)
    assert outcome in ({}, "code_failed")
    assert result_of(JAVASCRIPT, javascript("return {}.value === undefined")) is True


def test_a_fork_of_a_process_that_ran_code_says_so() -> None:
    """It would wait for ever for threads that it does not have."""
    assert result_of(PYTHON, python("return 1")) == 1
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            monty.run(python("return 1"), {}, seconds=1, memory_mb=16)
        except UnavailableError as error:
            os.write(write, error.message.encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        assert "forked" in told.read()


def test_one_program_leaves_nothing_to_the_next() -> None:
    first = "import json\njson.x = 1\nleft = 5\n" + python("return left")
    assert result_or_code(PYTHON, first) in (5, "code_failed")
    assert "NameError" in failure_of(PYTHON, python("return left")).message


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (PYTHON, python("[print('line', n) for n in range(30)]")),
        (JAVASCRIPT, javascript("for (let n = 0; n < 30; n++) console.log('line', n)")),
    ],
)
def test_what_is_printed_is_in_the_log(language, code) -> None:
    call = NodeCall({"language": language, "code": code})
    asyncio.run(CATALOGUE["code"].run(call))
    assert call.lines == [f"line {n}" for n in range(20)]
