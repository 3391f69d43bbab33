"""Where a hosted model answers and with whose key: a model's YAML and the environment, resolved once.

A key is only ever named here (by its variable); it is read when a client is made and kept nowhere else.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import SplitResult, quote, urlsplit

from harness.errors import ModelError, Problem

OPENAI_URL = "https://api.openai.com/v1"
_OFFICIAL = {
    "openai": ("openai.com",),
    "azure": ("azure.com", "azure.us", "azure.cn", "microsoft.com"),
}
_KEY_ENV = {"openai": "OPENAI_API_KEY", "azure": "AZURE_OPENAI_API_KEY"}

SECRET = 8
"""Characters that a key has at least: what is shorter (`none`, `EMPTY`, `ollama`) is a word that servers without keys
are given, and stands in answers too."""

Environ = Mapping[str, str]


class EndpointSpec(Protocol):
    """What of a model's YAML decides its endpoint (`harness.spec.ModelSpec` has all of it)."""

    @property
    def id(self) -> str:
        """`openai/MODEL`, `azure/DEPLOYMENT`, or, with a base_url, the endpoint's own model id."""
        ...

    @property
    def base_url(self) -> str | None:
        """The endpoint; wins over the environment."""
        ...

    @property
    def api_key_env(self) -> str | None:
        """The environment variable that holds the key."""
        ...

    @property
    def api_version(self) -> str | None:
        """Azure's classic surface; wins over the environment."""
        ...

    @property
    def allow_http(self) -> bool:
        """Whether plain http:// may leave this machine."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """Total deadline of one call."""
        ...

    @property
    def context(self) -> int | None:
        """Context window in tokens."""
        ...

    @property
    def extra_body(self) -> dict[str, Any]:
        """What is merged into each request's JSON."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """A resolved endpoint.

    Args:
        api: whose conventions it follows.
        url: the base URL that requests are made under.
        model: the model id or deployment name that it is sent.
        key_env: the variable that holds the key, or None when no key is sent.
        api_version: Azure's classic surface; None for the v1 surface and for OpenAI.
        source: where the URL came from, for people.
    """

    api: Literal["openai", "azure"]
    url: str
    model: str
    key_env: str | None
    api_version: str | None = None
    source: str = "default"

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def key(self, environ: Environ | None = None) -> str | None:
        """The key, read from the environment now. Raises `ModelError` that names the variable, never its value."""
        if self.key_env is None:
            return None
        value = (os.environ if environ is None else environ).get(self.key_env, "").strip()
        if not value:
            raise ModelError(
                Problem(
                    f"{self.key_env} is not set; {self.model} at {self.url} needs a key",
                    path="model",
                    fix=f"export {self.key_env}=... (a key is read from the environment only), "
                    "or name another variable with `api_key_env`",
                )
            )
        if not value.isascii() or not value.isprintable() or " " in value:
            what = f"{self.key_env} holds characters that a key cannot have (spaces, line breaks or non-ASCII)"
            raise ModelError(Problem(what, path="model.api_key_env", fix=f"set {self.key_env} again, without them"))
        return value

    def scrub(self, text: str) -> str:
        """The text without the key, should an endpoint repeat it."""
        for name in (self.key_env, "AZURE_OPENAI_AD_TOKEN"):
            text = hidden(text, os.environ.get(name or "", "").strip())
        return text

    @staticmethod
    def of(spec: EndpointSpec, environ: Environ | None = None) -> Endpoint:
        """Resolve a model's YAML. Raises `ModelError`; touches no network and reads no key.

        `openai/` and `azure/` name the API spoken and are never sent; a server whose own id begins so is written
        with the prefix twice (`openai/openai/gpt-oss-20b`).
        """
        env = os.environ if environ is None else environ
        prefix, _, rest = spec.id.partition("/")
        if prefix == "azure" and rest:
            return _azure(spec, rest, env)
        if prefix == "openai" and rest:
            url, source = spec.base_url, "base_url"
            if not url and env.get("OPENAI_BASE_URL"):
                url, source = env["OPENAI_BASE_URL"], "OPENAI_BASE_URL"
            return _openai(spec, rest, url or OPENAI_URL, source if url else "default", env)
        if spec.base_url:
            return _openai(spec, spec.id, spec.base_url, "base_url", env)
        raise ModelError(
            Problem(
                "no endpoint is known for this model",
                path="model",
                got=repr(spec.id),
                valid="openai/MODEL, azure/DEPLOYMENT, or {id: MODEL, base_url: https://...}",
                fix="add the base_url of the server that has this model",
            )
        )


def hidden(text: str, secret: str, mark: str = "[key]") -> str:
    """The text without a secret, as it is or as JSON and URLs write it."""
    if len(secret) < SECRET:
        return text
    written = json.dumps(secret)[1:-1]
    for form in (secret, written, written.replace("/", "\\/"), quote(secret), quote(secret, safe="")):
        if form in text:
            text = text.replace(form, mark)
    return text


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _openai(spec: EndpointSpec, model: str, url: str, source: str, env: Environ) -> Endpoint:
    parts = _checked(url, spec.allow_http, source)
    return Endpoint("openai", url.rstrip("/"), model, _key_env(spec, "openai", parts, source, env), source=source)


def _azure(spec: EndpointSpec, deployment: str, env: Environ) -> Endpoint:
    url, source = spec.base_url, "base_url"
    if not url:
        url, source = env.get("AZURE_OPENAI_ENDPOINT"), "AZURE_OPENAI_ENDPOINT"
    if not url:
        what = f"no endpoint is known for the Azure deployment {deployment}"
        fix = "set AZURE_OPENAI_ENDPOINT to https://RESOURCE.openai.azure.com, or give the model a base_url"
        raise ModelError(Problem(what, path="model.base_url", fix=fix))
    parts = _checked(url, spec.allow_http, source)
    key_env = _key_env(spec, "azure", parts, source, env)
    path, _, surface = parts.path.rstrip("/").partition("/openai")
    root = f"{parts.scheme}://{parts.netloc}{path}"
    version = spec.api_version or env.get("AZURE_OPENAI_API_VERSION") or None
    if surface == "/v1" or not version:
        return Endpoint("azure", f"{root}/openai/v1", deployment, key_env, source=source)
    return Endpoint("azure", f"{root}/openai", deployment, key_env, version, source)


def _checked(url: str, allow_http: bool, source: str) -> SplitResult:
    """The URL in parts. Raises `ModelError` for one that would leak a key or cannot work."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = "model.base_url" if source == "base_url" else source
    if parts.username or parts.password:
        shown = f"{parts.scheme}://...@{host}"
        raise ModelError(
            Problem("the URL holds a user name or password", path=path, got=shown, fix="name a key with `api_key_env`")
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ModelError(Problem("this is no URL", path=path, got=repr(url[:200]), valid="https://HOST/v1"))
    if parts.query or parts.fragment:
        valid = f"{parts.scheme}://{parts.netloc}{parts.path}"
        raise ModelError(Problem("a base URL ends with its path", path=path, got=repr(valid + "?..."), valid=valid))
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ModelError(
            Problem(
                "plain http:// would send prompts and the key unencrypted beyond this machine",
                path=path,
                got=repr(url),
                fix="use https://, or say `allow_http: true` on this model",
            )
        )
    return parts


def _key_env(
    spec: EndpointSpec, api: Literal["openai", "azure"], parts: SplitResult, source: str, env: Environ
) -> str | None:
    """Which variable's key goes to this host.

    A benchmark file from somebody else must not send the user's OpenAI key to a host of its choice: a foreign host of
    a YAML gets a key only when `api_key_env` names it. Loopback gets the usual one where it is set.
    """
    if spec.api_key_env:
        return spec.api_key_env
    host = parts.hostname or ""
    usual = _KEY_ENV[api]
    if source != "base_url" or any(host == d or host.endswith("." + d) for d in _OFFICIAL[api]):
        return usual
    return usual if is_loopback(host) and env.get(usual) else None
