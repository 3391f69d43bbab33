"""Nothing private leaves, and nothing private is printed."""

from __future__ import annotations

import random
import re

import pytest

from harness.privacy import scan_pii, uploaded
from harness.taskset import Example
from tests.test_hygiene import lines

PRIVATE = {
    "jane.doe+recipes@mail.co.uk": "e-mail",
    "+44 20 7946 0958": "telephone",
    "(555) 234-5678": "telephone",
    "555-234-5678": "telephone",
    "020 7946 0958": "telephone",
    "DE89 3704 0044 0532 0130 00": "IBAN",
    "GB82WEST12345698765432": "IBAN",
    "4111 1111 1111 1111": "card",
    "378282246310005": "card",
    "078-05-1120": "social security",
    "2223 0031 2200 3222": "card",
    "01 42 68 53 00": "telephone",
    "1-800-555-0199": "telephone",
}
SECRETS = {
    "AKIA" + "QWERTYUIOPASDFGH": "AWS",
    "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345": "GitHub",
    "-----BEGIN RSA " + "PRIVATE KEY-----": "Private Key",
    "https://cook:" + "hunter2pass@kitchen.internal/": "Basic Auth",
    "sk_live_" + "0123456789abcdefghijklmn": "Stripe",
    "xoxb-" + "123456789012-1234567890123-abcdefghijklmnopqrstuvwx": "Slack",
    "sk-proj-" + "Ab1_" * 20: "access token",
    "sk-ant-api03-" + "Ab1-" * 23: "access token",
    "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY": "access token",
    "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh": "access token",
    "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789": "access token",
    "-----BEGIN ENCRYPTED " + "PRIVATE KEY-----": "private key",
    "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY": "access token",
}


@pytest.mark.parametrize(("thing", "what"), PRIVATE.items())
def test_is_found_once_and_never_printed(thing: str, what: str) -> None:
    found = scan_pii({"train.jsonl:3": f"2 eggs\nask {thing}, she knows", "train.jsonl:4": "2 eggs"})
    assert [(f.kind, f.severity, f.where) for f in found] == [("private", "error", ("train.jsonl:3",))]
    assert what in found[0].message
    assert f"at character {'2 eggs ask '.__len__() + 1}" in found[0].message
    assert thing not in repr(found)


@pytest.mark.parametrize(("thing", "what"), SECRETS.items())
def test_secrets_too(thing: str, what: str) -> None:
    found = [f for f in scan_pii({"row": f"2 eggs, token {thing} end"}) if f.kind == "secret"]
    assert any(what in f.message for f in found)
    assert not any(part in repr(found) for part in re.findall(r"\w{8,}", thing) if part != "kitchen")


@pytest.mark.parametrize(
    "text",
    [
        "1 (14 oz) can tomatoes, 2-3 c. rice, 400 ml stock at 180 C for 35-40 min",
        "write to cook@example.com",
        "4111 1111 1111 1112",
        "bar code 5901234123457",
        "build 20240512101112",
        "git clone git@github.com:cook/book.git",
        "DE89 3704 0044 0532 0130 01",
        "ISBN 978-0-306-40615-7, batch 20240131",
        "1234567890123456 grains of sand",
        "the secret: a pinch of love; the password = butter",
        "from sk-learn-and-its-many-longer-names-without-any-number import it",
        "pH 7.4, 3.14159265358979, 2026-01-31 12:30:00",
        "Tel Aviv salad @home, serves 4-6",
    ],
)
def test_what_is_not_private_is_left_alone(text: str) -> None:
    assert scan_pii({"row": text}) == ()


def test_generated_recipes_are_clean_and_planted_ones_are_not() -> None:
    rng = random.Random(7)
    rows = {str(n): "\n".join(lines(rng)) for n in range(300)}
    planted = {str(n): rng.choice([*PRIVATE, *SECRETS]) for n in rng.sample(range(300), 100)}
    found = scan_pii({id: f"{text}\nnote: {planted.get(id, 'none')}" for id, text in rows.items()})
    assert {f.ids[0] for f in found} == set(planted)


def test_targets_are_uploaded_too() -> None:
    example = Example("a", {"title": "Soup"}, ("egg", "me@kitchen.io"), "train", where="train.jsonl:9")
    (found,) = scan_pii(uploaded([example]))
    assert found.where == ("train.jsonl:9",)
