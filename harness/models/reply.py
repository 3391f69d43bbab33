"""An endpoint's answer, read without trust: what is usable becomes a `Completion`, all else an error with its class.

The SDK's own models hand HTML on as a string and raise bare decode errors on cut JSON; here the bytes are decoded once,
by msgspec, into what a chat reply needs and nothing more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from harness.errors import Failed
from harness.models.base import Completion, Failure, FailureType, Finish, Message, Request, Usage, whole
from harness.models.calls import CallFailed

QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"})
FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "invalid_prompt"})
_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|context (window|size|length)|prompt is too long",
    re.IGNORECASE,
)

NO_MONEY = "add credit or raise the limit at the provider"

MOST_TOKENS = 10**9
"""No call has more: what says so is no count."""

Scrub = Callable[[str], str]


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: Any = None
    logprobs: Any = None


class _Reply(msgspec.Struct):
    """Only what an answer cannot do without is typed: a billed answer is not thrown away for an odd side field."""

    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Reply)


def estimate_tokens(text: str) -> int:
    """Tokens of a text without its tokenizer: a token for four UTF-8 bytes, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def estimate_prompt(messages: tuple[Message, ...]) -> int:
    """Prompt tokens without the tokenizer: 3 a message, 3 for the answer's start, and the texts (OpenAI cookbook)."""
    return 3 + sum(3 + estimate_tokens(m.content) for m in messages)


def read(body: bytes, content_type: str, request: Request, scrub: Scrub, after: float | None = None) -> Completion:
    """The completion of a 200. Raises `Failed` (filtered, refused) or `CallFailed` (nothing usable came).

    Args:
        body: the raw bytes.
        content_type: as the header has it, for the message.
        request: what was asked, to estimate usage that was not sent.
        scrub: takes the key out of a text that people will see.
        after: Retry-After in seconds, which some gateways send beside an error in a 200.
    """
    try:
        reply = _decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        start = scrub(body.decode("utf-8", "replace"))[:80]
        billed = Usage(input=estimate_prompt(request.messages), output=-(-len(body) // 4), estimated=True)
        if body.lstrip()[:1] == b"<":
            billed = Usage()  # a proxy's page, not the model's work
        raise CallFailed(
            f"the reply is not the JSON of a chat completion ({content_type or 'no content type'}): {error}; "
            f"it starts {start!r}",
            retry=True,
            status=200,
            usage=billed,
        ) from None
    choice = reply.choices[0] if reply.choices else None
    if choice is None or (choice.message is None and choice.finish_reason != "content_filter"):
        raise _no_choice(reply, request, scrub, after)
    message = choice.message or _Message()  # Azure leaves the message out of what it filtered whole
    text = scrub(_text(message.content))
    refusal = scrub(_text(message.refusal) or _refusal(message.content))
    if not refusal and choice.finish_reason == "refusal":
        refusal = text or "no reason given"
    usage = _usage(reply.usage, request, text or refusal)
    model = scrub(reply.model) if isinstance(reply.model, str) else ""
    if refusal:
        raise Failed(_failure("refused", "the model refused", refusal, usage, model))
    if choice.finish_reason == "content_filter":
        raise Failed(_failure("content_filter", "the endpoint's filter cut the answer", text, usage, model))
    finish: Finish = "length" if choice.finish_reason in ("length", "max_tokens") else "stop"
    return Completion(text=text, usage=usage, model=model, finish=finish, logprob=_logprob(choice, request))


def refused(
    status: int, body: Any, text: str, after: float | None, scrub: Scrub, fixes: Mapping[int, str] | None = None
) -> Exception:
    """The error of a status above 299: `Failed` where the request itself is at fault, else `CallFailed`.

    Args:
        status: the HTTP status.
        body: the decoded error (the SDK hands on what stands under `error`), a mapping or anything else.
        text: the raw body, for the message when the error has none.
        after: Retry-After in seconds.
        scrub: takes the key out of a text that people will see.
        fixes: what a person may do about a status that time does not mend.
    """
    error: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    inner = error.get("innererror")
    codes = {str(error.get("code")), str(error.get("type"))}
    if isinstance(inner, Mapping):
        codes.add(str(inner.get("code")))
    if isinstance(body, Mapping | list):  # without the escapes of JSON, behind which a key would not be seen
        text = json.dumps(body, ensure_ascii=False)
    message = scrub(str(error.get("message") or text or "no message").strip())[:400]
    said = f"{status}: {message}"
    if status == 402 or (status in (403, 429) and codes & QUOTA):
        return CallFailed(said, retry=False, fatal=True, status=status, after=after, fix=NO_MONEY)
    if status == 429:
        return CallFailed(said, retry=True, status=status, after=after)
    if status in (408, 409, 425) or status >= 500 or "DeploymentNotReady" in codes:
        return CallFailed(said, retry=True, status=status, after=after)
    if status in (400, 413, 422):
        kind: FailureType = "invalid"
        if codes & FILTERED:
            kind = "content_filter"
        elif _OVERFLOW.search(message) or any(_OVERFLOW.search(c) for c in codes) or status == 413:
            kind = "overflow"
        return Failed(_failure(kind, said, "", Usage(), ""))
    return CallFailed(said, retry=False, fatal=True, status=status, fix=(fixes or {}).get(status, ""))


def _no_choice(reply: _Reply, request: Request, scrub: Scrub, after: float | None) -> Exception:
    """Why a 200 has no choice: an error in it (some gateways answer so), or nothing at all."""
    error = reply.error
    if isinstance(error, Mapping) and any(v is not None for v in error.values()):
        code = str(error.get("code"))
        status = int(code) if re.fullmatch("[345][0-9][0-9]", code) else 502
        if code in QUOTA or str(error.get("type")) in QUOTA:
            status = 429
        elif code in FILTERED:
            status = 400
        found = refused(status, error, "", after, scrub)
        if isinstance(found, CallFailed) and reply.usage is not None:
            usage = _usage(reply.usage, request, "")
            found = CallFailed(
                f"200 with an error: {found.missing.message}",
                retry=found.retry,
                fatal=found.fatal,
                status=found.status,
                after=found.after,
                usage=usage,
                fix=found.missing.fix,
            )
        return found
    said = f": {scrub(str(error))[:200]}" if isinstance(error, str) else ""
    usage = _usage(reply.usage, request, "") if reply.usage else Usage()
    return CallFailed(f"200 without an answer{said}", retry=True, status=200, after=after, usage=usage)


def _failure(kind: FailureType, message: str, text: str, usage: Usage, model: str) -> Failure:
    return Failure(boundary="model", type=kind, message=message, text=text, usage=usage, model=model)


def _decode(body: bytes) -> _Reply:
    """The reply; one whose text was cut in the middle of a character is read too (msgspec refuses such an escape)."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        if b"\\u" not in body:
            raise
        try:
            loose = json.loads(body)
        except (ValueError, RecursionError):
            loose = None
        if loose is None:
            raise
    return msgspec.convert(loose, _Reply)


def _text(content: Any) -> str:
    """The text of a content field: a string, a list of parts, or null."""
    if isinstance(content, str):
        return whole(content)
    if isinstance(content, list):
        parts: list[Any] = content
        return whole("".join(str(p.get("text") or "") for p in parts if isinstance(p, Mapping)))
    return ""


def _refusal(content: Any) -> str:
    """The refusal among a content's parts, if there is one."""
    parts: list[Any] = content if isinstance(content, list) else []
    return whole("".join(str(p.get("refusal") or "") for p in parts if isinstance(p, Mapping)))


def _usage(sent: Any, request: Request, text: str) -> Usage:
    """What the endpoint said that it billed; what it did not say, or cannot be, is estimated and marked."""
    said: Mapping[str, Any] = sent if isinstance(sent, Mapping) else {}
    details = said.get("prompt_tokens_details")
    prompt = _tokens(said.get("prompt_tokens"))
    output = _tokens(said.get("completion_tokens"))
    if not output and text:
        output = None  # an answer of no tokens: some servers send zeros
    cached = _tokens(details.get("cached_tokens")) if isinstance(details, Mapping) else 0
    tokens = prompt or estimate_prompt(request.messages)
    return Usage(
        input=tokens,
        cached_input=min(cached or 0, tokens),
        output=estimate_tokens(text) if output is None else output,
        estimated=not prompt or output is None,
    )


def _tokens(value: Any) -> int | None:
    """A count as an endpoint wrote it (a number, or its digits), None for what is none."""
    try:
        count = float(value)
    except (TypeError, ValueError):
        return None
    return int(count) if 0 <= count < MOST_TOKENS else None


def _logprob(choice: _Choice, request: Request) -> float | None:
    """Mean log-probability a token, where it was asked for and given."""
    content = choice.logprobs.get("content") if isinstance(choice.logprobs, Mapping) else None
    if not request.logprobs or not isinstance(content, list):
        return None
    tokens: list[Any] = content
    found = [t.get("logprob") for t in tokens if isinstance(t, Mapping)]
    known = [float(v) for v in found if isinstance(v, int | float)]
    return sum(known) / len(known) if known else None
