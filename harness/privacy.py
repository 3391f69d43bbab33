"""Whether anything private or secret is about to be uploaded.

What is private is told by patterns, each with the checksum or the reserved ranges that its standard gives it: no kept
and light library finds it in running text (presidio brings spaCy and its models). detect-secrets finds the secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.hygiene import Finding, Kind
from harness.taskset import Example

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b")
_CARD = re.compile(  # in one piece, in fours, or as American Express groups them
    r"(?<![\w.,/-])(?:[2-6]\d{12,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|3\d{3}([ -])\d{6}\2\d{5})"
    r"(?![ /-]?\d)"
)
_ISSUED = re.compile(  # ISO/IEC 7812: Visa, Mastercard, American Express, Diners, JCB, Maestro, Discover and UnionPay
    r"4\d{12}(?:\d{3}){0,2}|(?:5[0-8]|2[2-7])\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|6\d{15,18}"
)
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_PHONE = re.compile(
    r"(?<![\w+])\+\d{1,3}(?:[ .()/-]{0,2}\d){6,12}(?!\d)"  # international, E.164
    r"|(?<![\w.-])(?:1[-. ])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}(?![\w.-])"  # North America
    r"|(?<![\w.-])(?<!\d )0[1-9]([ .-])\d{2}\1\d{2}\1\d{2}\1\d{2}(?![\w.-])(?! \d)"  # France
    r"|(?<![\w.-])(?<!\d )0\d{2,4}[ -]\d{3,4}[ -]?\d{3,4}(?![\w.-])(?! \d)"  # national, with its trunk zero
)
_RESERVED = re.compile(r"@(?:[\w-]+\.)*(?:example\.(?:com|net|org)|example|test|invalid|localhost)$", re.I)  # RFC 2606
_TOKEN = re.compile(  # forms that detect-secrets lacks, or knows only as they once were; each prefix is its issuer's
    r"\bsk-[\w-]{32,}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{40,}|\bgsk_[A-Za-z0-9]{40,}"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"|(?i:\baws\w{0,20}?(?:secret|key)\w{0,20}[\"']?\s*[=:]\s*[\"']?)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
)


def _token(text: str) -> bool:
    """Names such as sk-learn-… hold no digit; tokens of 32 characters hold digits and letters."""
    return not text.startswith("sk-") or (any(c.isdigit() for c in text) and any(c.isalpha() for c in text[3:]))


def _iban(text: str) -> bool:
    """ISO 13616: the country code and check digits moved behind, letters as numbers, modulo 97 is 1."""
    plain = text.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _luhn(text: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the sum of all digits divisible by ten."""
    digits = [int(c) for c in text if c.isdecimal()]
    return sum(d if n % 2 == 0 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits))) % 10 == 0


def _card(text: str) -> bool:
    """Bar codes and times run on have as many digits, and every tenth passes Luhn: only issuers' lengths are cards."""
    return bool(_ISSUED.fullmatch(re.sub(r"\D", "", text))) and _luhn(text)


_PRIVATE: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("an e-mail address", _EMAIL, lambda text: not text.startswith("git@") and not _RESERVED.search(text)),
    ("a bank account number (IBAN)", _IBAN, _iban),
    ("a payment card number", _CARD, _card),
    ("a US social security number", _SSN, lambda _: True),
    ("a telephone number", _PHONE, lambda _: True),
)


def scan_pii(texts: Mapping[str, str]) -> tuple[Finding, ...]:
    """What is private or secret in texts that are about to leave the machine.

    Args:
        texts: by the name that a person finds them under (a row's id or `file:line`).

    Returns:
        One error per text and kind, with its place in the text and never the thing itself. Secrets are the token forms
        that detect-secrets knows (cloud, forge and payment keys, passwords in addresses) and some more; its guesses by
        entropy or by a word such as "secret" are left out, since prose is full of those.
    """
    detectors = _detectors()
    found: list[Finding] = []
    for name, text in texts.items():
        rest = text
        for what, pattern, valid in _PRIVATE:
            hits = [m for m in pattern.finditer(rest) if valid(m.group())]
            if hits:
                found.append(_unclean("private", name, what, hits[0].start(), len(hits)))
                rest = pattern.sub(lambda m, valid=valid: " " * len(m.group()) if valid(m.group()) else m.group(), rest)
        known: set[str] = set()
        for detector in detectors:
            hits_ = {str(secret) for secret in detector.analyze_string(text) if secret}
            if hits_:
                what = f"a secret ({detector.secret_type})"
                found.append(_unclean("secret", name, what, min(text.find(s) for s in hits_), len(hits_)))
                known |= hits_
        tokens = [m for m in _TOKEN.finditer(text) if _token(m.group()) and not any(s in m.group() for s in known)]
        if tokens:
            what = "a secret (an access token or private key)"
            found.append(_unclean("secret", name, what, tokens[0].start(), len(tokens)))
    return tuple(found)


def uploaded(examples: Iterable[Example]) -> dict[str, str]:
    """What an upload of these rows would hold, by `file:line` (else by id): inputs and targets."""
    return {
        e.where or e.id: "\n".join([*e.input.values(), *((e.target,) if isinstance(e.target, str) else e.target)])
        for e in examples
    }


def _unclean(kind: Kind, name: str, what: str, at: int, count: int) -> Finding:
    more = f" and {count - 1} more" if count > 1 else ""
    return Finding(
        kind=kind, severity="error", ids=(name,), where=(name,), message=f"{what} at character {max(at, 0) + 1}{more}"
    )


def _detectors() -> list[Any]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.high_entropy_strings import HighEntropyStringsPlugin
    from detect_secrets.plugins.ip_public import IPPublicDetector
    from detect_secrets.plugins.keyword import KeywordDetector

    guesses = (HighEntropyStringsPlugin, IPPublicDetector, KeywordDetector)
    kinds = get_mapping_from_secret_type_to_class()
    return [kind() for _, kind in sorted(kinds.items()) if not issubclass(kind, guesses)]
