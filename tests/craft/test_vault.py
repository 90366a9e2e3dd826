"""What is sealed opens for what it was sealed for, under a key of the ring, and not otherwise."""

import base64

import pytest

from craft.vault import KeyRingError, UnsealError, read_ring, seal, unseal


def key(byte):
    return base64.b64encode(bytes([byte]) * 32).decode()


def test_what_was_sealed_opens_and_shows_nothing():
    sealed = seal("JBSWY3DPEHPK3PXP – é", context="totp:user_1")
    assert unseal(sealed, context="totp:user_1") == "JBSWY3DPEHPK3PXP – é"
    assert "JBSW" not in sealed
    assert seal("same", context="c") != seal("same", context="c")


def test_it_opens_nowhere_else():
    sealed = seal("secret", context="totp:user_1")
    with pytest.raises(UnsealError):
        unseal(sealed, context="totp:user_2")


@pytest.mark.parametrize("position", [0, 1, 3, 20, -1])
def test_a_changed_text_does_not_open(position):
    sealed = seal("secret", context="c")
    other = "A" if sealed[position] != "A" else "B"
    changed = sealed[:position] + other + sealed[position:][1:]
    with pytest.raises(UnsealError):
        unseal(changed, context="c")


@pytest.mark.parametrize(
    "text", ["", "v1", "v1.derived.", "v1.derived.!!", "v2.a.b", "é"]
)
def test_what_was_never_sealed_does_not_open(text):
    with pytest.raises(UnsealError):
        unseal(text, context="c")


def test_keys_rotate(settings):
    before = seal("from before the ring", context="c")
    settings.ENCRYPTION_KEYS = f"old:{key(1)}"
    old = seal("secret", context="c")
    settings.ENCRYPTION_KEYS = f"new:{key(2)}, old:{key(1)}"
    assert unseal(old, context="c") == "secret"
    assert unseal(before, context="c") == "from before the ring"
    assert seal("secret", context="c").startswith("v1.new.")
    settings.ENCRYPTION_KEYS = f"new:{key(2)}"
    with pytest.raises(UnsealError, match="ring"):
        unseal(old, context="c")


@pytest.mark.parametrize(
    "text", ["k1", "k1:", "k1:AAAA", "k 1:" + key(1), f"a:{key(1)},a:{key(2)}", ":x"]
)
def test_a_ring_that_cannot_be_read_is_refused(text):
    with pytest.raises(KeyRingError):
        read_ring(text)
