import hashlib

import pytest

from tunnel.domain.middleware.passwords import DUMMY, PasswordHash


def test_hash_fits_its_password_only_and_survives_being_written():
    made = PasswordHash.of(b"correct horse", bytes(range(16)))
    again = PasswordHash.parse(str(made))
    assert again == made
    assert again.slow
    assert again.fits(b"correct horse")
    assert not again.fits(b"correct hors")
    assert repr(made) == "PasswordHash(...)"


def test_token_is_kept_by_sha256():
    kept = PasswordHash.parse("sha256$" + hashlib.sha256(b"token").hexdigest())
    assert not kept.slow
    assert kept.fits(b"token")
    assert not kept.fits(b"other")
    assert PasswordHash.parse(str(kept)) == kept


def test_dummy_is_nobodys():
    assert not DUMMY.fits(b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password",
        "sha256$12",
        "scrypt$14$8$1$00$00",
        "scrypt$25$8$1$" + "0" * 32 + "$" + "0" * 64,
        "md5$" + "0" * 32,
        "scrypt$0$8$1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$14$0$1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$14$8$0$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$14$8$5$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$16$8$1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$12$65$1$" + "0" * 32 + "$" + "0" * 64,
    ],
)
def test_malformed_and_costly_hashes_are_refused(text):
    with pytest.raises(ValueError, match=r"hash|costly"):
        PasswordHash.parse(text)


@pytest.mark.parametrize("cost", ["15$8$1", "14$16$1", "1$1$4"])
def test_hash_may_cost_32_mib_and_four_lanes(cost):
    text = f"scrypt${cost}$" + "0" * 32 + "$" + "0" * 64
    assert str(PasswordHash.parse(text)) == text


def test_hash_of_a_token_has_no_cost_and_no_salt():
    assert PasswordHash.parse("sha256$" + "0" * 64) == PasswordHash(0, 0, 0, b"", bytes(32))


def test_new_hash_costs_what_is_recommended_and_the_dummy_as_much():
    made = PasswordHash.of(b"a", bytes(16))
    assert (made.ln, made.r, made.p, len(made.key)) == (14, 8, 1, 32)
    assert (14, 8, 1, bytes(16), bytes(32)) == DUMMY
