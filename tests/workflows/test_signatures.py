"""Who knows the secret is told from who does not, for each kind of signature, by what its own documentation gives as an example."""

import base64
import hashlib
import hmac

import pytest
import stripe
from django.http.request import HttpHeaders

from workflows.services.signatures import TOLERANCE_SECONDS, has_token, is_signed

NOW = 1_614_265_330
STANDARD = {
    # The vector that the libraries of standardwebhooks.com are tested with.
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "body": b'{"test": 2432232314}',
    "headers": {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
}
GITHUB = {
    # docs.github.com, "Testing the webhook payload validation".
    "secret": "It's a Secret to Everybody",
    "body": b"Hello, World!",
    "headers": {
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    },
}


def by_stripe():
    """As Stripe's own library makes it."""
    body = '{"id": "evt_1"}'
    mac = stripe.WebhookSignature._compute_signature(f"{NOW}.{body}", "whsec_test")
    return {
        "secret": "whsec_test",
        "body": body.encode(),
        "headers": {"Stripe-Signature": f"t={NOW},v1={'0' * 64},v1={mac},v0=abc"},
    }


EXAMPLES = {"standard": STANDARD, "github": GITHUB, "stripe": by_stripe()}


def check(preset, *, now=NOW, secrets=None, body=None, **headers):
    example = EXAMPLES[preset]
    told = {**example["headers"], **headers}
    meta = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in told.items()}  # fmt: skip
    return is_signed(
        preset,
        HttpHeaders(meta),
        example["body"] if body is None else body,
        secrets=[example["secret"]] if secrets is None else secrets,
        now=now,
    )


@pytest.mark.parametrize("preset", EXAMPLES)
def test_the_published_example_is_accepted(preset):
    assert check(preset)


@pytest.mark.parametrize("preset", EXAMPLES)
def test_any_of_two_secrets_will_do(preset):
    assert check(preset, secrets=["another", EXAMPLES[preset]["secret"]])


@pytest.mark.parametrize("preset", EXAMPLES)
def test_a_changed_body_another_secret_and_none_are_refused(preset):
    assert not check(preset, body=EXAMPLES[preset]["body"] + b" ")
    assert not check(preset, secrets=["another"])
    assert not check(preset, secrets=[""])
    assert not check(preset, secrets=[])


@pytest.mark.parametrize("preset", ["standard", "stripe"])
def test_five_minutes_are_tolerated_either_way(preset):
    assert check(preset, now=NOW + TOLERANCE_SECONDS)
    assert check(preset, now=NOW - TOLERANCE_SECONDS)
    assert not check(preset, now=NOW + TOLERANCE_SECONDS + 1)
    assert not check(preset, now=NOW - TOLERANCE_SECONDS - 1)


@pytest.mark.parametrize(
    ("preset", "header", "texts"),
    [
        ("standard", "webhook-signature", ["", "v1,", "v1", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,ü"]),
        ("standard", "webhook-timestamp", ["", "x", "-1614265330", "1614265330.0", "\u0661", "9" * 400]),
        ("standard", "webhook-id", ["", "msg_other"]),
        ("github", "X-Hub-Signature-256", ["", "sha256=", "sha1=757107ea", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"]),
        ("stripe", "Stripe-Signature", ["", "t=1", f"t={NOW}", f"t={NOW},v1=", f"v1={'0' * 64}", "t=,v1=,,,==="]),
    ],
)  # fmt: skip
def test_odd_headers_are_refused_and_break_nothing(preset, header, texts):
    for text in texts:
        assert not check(preset, **{header: text}), text


def test_an_empty_secret_signs_nothing():
    """Of new-api, CVE-2026-41432: whoever signs with the empty text was let in."""
    mac = hmac.new(b"", GITHUB["body"], hashlib.sha256).hexdigest()
    assert not check("github", secrets=[], **{"X-Hub-Signature-256": f"sha256={mac}"})
    empty = base64.b64encode(hmac.new(b"", b"msg_1.1614265330.", hashlib.sha256).digest())  # fmt: skip
    headers = {"webhook-id": "msg_1", "webhook-signature": f"v1,{empty.decode()}"}
    assert not check("standard", body=b"", secrets=[], **headers)


def test_a_token_is_the_secret_itself():
    assert has_token("abc", secrets=["abc"])
    assert has_token("abc", secrets=["new", "abc"])
    for sent in ("", "ab", "abcd", "ABC", "abc\u00fc"):
        assert not has_token(sent, secrets=["abc"])
    assert not has_token("", secrets=[])
