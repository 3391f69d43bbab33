"""The hosted model: OpenAI, Azure OpenAI (both client styles), and any server that speaks their chat API.

One call is one HTTP request by the `openai` client on its aiohttp transport; retries, pacing, money and the cache are
wrappers. The SDK takes over a second to import, so it is loaded at the first call: a run that the cache answers whole
never pays for it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import Failed, ModelError, Problem
from harness.models.base import Completion, Message, Request, Usage
from harness.models.calls import CallFailed, Limits, limits, retry_after
from harness.models.endpoint import Endpoint, EndpointSpec
from harness.models.reply import estimate_prompt, read, refused
from harness.taskset import digest

if TYPE_CHECKING:
    import openai

# What an endpoint may not know and an answer can do without: dropped (and said) when it rejects them.
_OPTIONAL = ("seed", "temperature", "logprobs")
_UNKNOWN = re.compile(
    r"unsupported|not supported|does ?n[o']t support|unrecognized|unknown|unexpected|extra|not permitted|not allowed",
    re.IGNORECASE,
)


def open_openai(
    spec: EndpointSpec, *, on_limits: Callable[[Limits], None] | None = None, keyless: bool = False
) -> OpenAIModel:
    """Open a hosted model by its YAML; touches no network.

    Args:
        spec: the model's YAML (`harness.spec.ModelSpec`).
        on_limits: told the rate limits that each reply's headers carry (`Throttle.observe`).
        keyless: it will only count tokens, so that its key need not be set.

    Raises:
        ModelError: the endpoint cannot be resolved, or its key is not set.
    """
    endpoint = Endpoint.of(spec)
    if not keyless:
        endpoint.key()
    return OpenAIModel(spec, endpoint, on_limits)


class OpenAIModel:
    """A model behind an OpenAI-compatible chat endpoint. Holds no key: the SDK's client does.

    Attributes:
        endpoint: where it answers.
        notes: what the endpoint would not take and was left out, for people.
    """

    def __init__(
        self, spec: EndpointSpec, endpoint: Endpoint, on_limits: Callable[[Limits], None] | None = None
    ) -> None:
        self.name = spec.id
        self.context = spec.context
        self.endpoint = endpoint
        self.notes: list[str] = []
        self.digest = digest(
            ["openai", endpoint.api, endpoint.url, endpoint.model, endpoint.api_version, spec.extra_body]
        )
        self._timeout = spec.timeout_seconds
        self._extra = dict(spec.extra_body)
        self._on_limits = on_limits
        self._client: openai.AsyncOpenAI | None = None
        self._closed = False
        self._max_tokens = "max_tokens"
        self._left_out: set[str] = set()
        self._fixes = _fixes(endpoint)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Estimated: the endpoint's tokenizer is not to be had."""
        return estimate_prompt(messages)

    async def generate(self, request: Request) -> Completion:
        """One call, in at most `timeout_seconds`. Raises `Failed` or `CallFailed` (an `Outage`)."""
        client = self._open()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                completion = await self._call(client, request)
        except TimeoutError:
            # Whether an answer that never arrived is billed, no endpoint says; the prompt is counted as if it were.
            usage = Usage(input=estimate_prompt(request.messages), estimated=True)
            message = f"no whole answer within {self._timeout:g} s"
            raise CallFailed(message, retry=True, usage=usage) from None
        except Failed as failed:
            failure = failed.failure
            usage, model = failure.usage, failure.model or self.endpoint.model
            if self.endpoint.api == "azure" and failure.type == "content_filter" and not usage.input:
                # Azure bills the prompt that it evaluated and filtered, and says no usage with the 400
                usage = Usage(input=estimate_prompt(request.messages), estimated=True)
            seconds = time.perf_counter() - started
            raise Failed(msgspec.structs.replace(failure, usage=usage, model=model, seconds=seconds)) from None
        return msgspec.structs.replace(
            completion, seconds=time.perf_counter() - started, model=completion.model or self.endpoint.model
        )

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _open(self) -> openai.AsyncOpenAI:
        """The SDK's client, made at the first call."""
        if self._closed:
            raise ModelError(Problem(f"model {self.name} is closed"))
        if self._client is None:
            self._client = make_client(self.endpoint, self._timeout)
        return self._client

    async def _call(self, client: openai.AsyncOpenAI, request: Request) -> Completion:
        """One answer. A parameter that the endpoint rejects is replaced or left out, now and in all later calls."""
        import aiohttp
        import httpx2
        import openai

        while True:
            payload = self._payload(request)
            try:
                # The raw response: the SDK's parsing costs more than its sending, and trips over what `reply` reads.
                response = await client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body=payload,
                    options={"security": {"bearer_auth": True}},
                )
            except openai.APIStatusError as error:
                self._observe(error.response.headers)
                if 300 <= error.status_code < 400:
                    raise self._sent_elsewhere(error) from None
                if not self._adapt(error, payload):
                    after = retry_after(error.response.headers)
                    raise refused(
                        error.status_code, error.body, error.response.text, after, self.endpoint.scrub, self._fixes
                    ) from None
            except openai.APIConnectionError as error:
                cause = error.__cause__
                said = self.endpoint.scrub(str(cause) or type(cause).__name__ if cause else "connection error")[:300]
                # The SDK's transport calls any lost connection a ConnectTimeout; the root tells if there was one.
                root = cause.__cause__ if cause else None
                if isinstance(root, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                    fix = f"check that a server answers at {self.endpoint.url}"
                    raise CallFailed(f"no connection: {said}", retry=True, fix=fix, unreachable=True) from None
                raise CallFailed(f"the connection broke: {said}", retry=True) from None
            else:
                self._observe(response.headers)
                content_type = response.headers.get("content-type", "")
                after = retry_after(response.headers)
                return read(response.content, content_type, request, self.endpoint.scrub, after)

    def _payload(self, request: Request) -> dict[str, Any]:
        """The request's JSON. A repeat has its own seed, or an endpoint that honours seeds would answer the same."""
        payload: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            self._max_tokens: request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed + request.repeat,
        }
        if request.logprobs:
            payload["logprobs"] = True
        for name in self._left_out:
            payload.pop(name, None)
        payload.update(self._extra)
        return payload

    def _adapt(self, error: openai.APIStatusError, payload: Mapping[str, Any]) -> bool:
        """Whether the endpoint rejected a parameter that can be said otherwise or left out; remembered if so."""
        if error.status_code not in (400, 422):
            return False
        said = str(error.body)
        param = error.param if isinstance(error.param, str) else None
        if not _UNKNOWN.search(f"{error.code} {said}"):
            return False
        if "max_tokens" in payload and "max_tokens" not in self._extra and "max_completion_tokens" in said:
            self._max_tokens = "max_completion_tokens"
            return True
        for name in _OPTIONAL:
            asked = param == name or (param is None and re.search(rf"\b{name}\b", said))
            if asked and name in payload and name not in self._extra:
                if name not in self._left_out:
                    self._left_out.add(name)
                    self.notes.append(f"{self.name} does not take `{name}`; it was left out")
                return True
        return False

    def _sent_elsewhere(self, error: openai.APIStatusError) -> CallFailed:
        """A redirect, which is not followed: the key would go along."""
        target = self.endpoint.scrub(error.response.headers.get("location", "") or "nowhere")[:200]
        said = f"{error.status_code}: {self.endpoint.url} redirects to {target}; it is not followed, with the key on it"
        fix = "if that is the right server, name it as the base URL"
        return CallFailed(said, retry=False, fatal=True, status=error.status_code, fix=fix)

    def _observe(self, headers: Mapping[str, str]) -> None:
        """Pass on the rate limits of a reply."""
        if self._on_limits is not None and (found := limits(headers)) is not None:
            self._on_limits(found)


def _fixes(endpoint: Endpoint) -> dict[int, str]:
    """What a person may do about a status that time does not mend."""
    key = f"set {endpoint.key_env} to a key that {endpoint.url} accepts"
    if endpoint.key_env is None:
        key = "no key was sent to this host; `api_key_env` names the variable that holds one"
    what = "deployment" if endpoint.api == "azure" else "model"
    return {
        401: key,
        403: f"ask for access to {endpoint.model} with this key, or use another key or model",
        404: f"check the {what}'s name, {endpoint.model}, and the URL, {endpoint.url}; `harness check FILE` reads both",
    }


def make_client(endpoint: Endpoint, timeout: float) -> openai.AsyncOpenAI:
    """The SDK's client for an endpoint, its own retries off (the tuners use it too).

    Redirects are not followed: the `api-key` header of Azure would go along to another host. A proxy of the
    environment is not asked for what is on this machine.

    Args:
        endpoint: where, and whose key.
        timeout: seconds for each read; a total deadline is the caller's.
    """
    import openai

    http_client = openai.DefaultAioHttpClient(
        timeout=openai.Timeout(timeout, connect=min(timeout, 10.0)),
        follow_redirects=False,
        trust_env=not endpoint.loopback,
        verify=endpoint.url.startswith("https://"),  # loading the certificates takes .1 s, and http:// has none
    )
    key = endpoint.key() or "no-key"
    if endpoint.api_version:
        return openai.AsyncAzureOpenAI(
            api_key=key,
            api_version=endpoint.api_version,
            base_url=endpoint.url,
            max_retries=0,
            http_client=http_client,
        )
    return openai.AsyncOpenAI(api_key=key, base_url=endpoint.url, max_retries=0, http_client=http_client)
