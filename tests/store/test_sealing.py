"""
Secrets at rest: only the right key opens them, and only where they belong.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import SecretError
from headrace.store.sealing import Sealer, load_or_make_keys, new_key, parse_keys

KEY, OTHER = os.urandom(32), os.urandom(32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_was_sealed_opens_unchanged(value: object) -> None:
    sealer = Sealer([KEY])

    assert sealer.open(sealer.seal(value, "connection:1"), "connection:1") == value


def test_a_sealed_value_cannot_be_moved_to_another_place() -> None:
    """
    A ciphertext copied into another tenant's row does not open there.
    """
    sealer = Sealer([KEY])
    sealed = sealer.seal({"token": "t"}, "connection:1")

    with pytest.raises(SecretError, match="connection:2"):
        sealer.open(sealed, "connection:2")


def test_a_changed_byte_is_noticed() -> None:
    sealer = Sealer([KEY])
    sealed = bytearray(sealer.seal("secret", "p"))
    sealed[-1] ^= 1

    with pytest.raises(SecretError):
        sealer.open(bytes(sealed), "p")


def test_a_rotated_key_still_opens_old_values_and_seals_no_new_ones() -> None:
    old, rotated = Sealer([KEY]), Sealer([OTHER, KEY])

    assert rotated.open(old.seal(1, "p"), "p") == 1
    with pytest.raises(SecretError):
        old.open(rotated.seal(1, "p"), "p")


def test_equal_values_do_not_look_equal() -> None:
    sealer = Sealer([KEY])

    assert sealer.seal("same", "p") != sealer.seal("same", "p")


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "home" / "secret.keys"

    made = load_or_make_keys(file)

    assert load_or_make_keys(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "short", "####", "QUJD"])
def test_an_unusable_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SecretError) as refused:
        Sealer(parse_keys(text))

    assert not text or text not in str(refused.value)


def test_keys_are_read_as_people_write_them() -> None:
    first, second = new_key(), new_key()

    assert len(parse_keys(f"{first}, {second}\n")) == 2
