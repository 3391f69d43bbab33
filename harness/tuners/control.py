"""Azure's control plane: where deployments are made, and the token that it wants.

Its token is not the endpoint's key: it comes from `AZURE_MANAGEMENT_TOKEN`, else from azure-identity (`az login`, a
managed identity), and is kept in memory only.
"""

from __future__ import annotations

import json
import os
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

from harness.errors import ModelError, Problem
from harness.models.base import Struct
from harness.models.calls import retry_after
from harness.models.endpoint import hidden, is_loopback

ARM = "https://management.azure.com"
CLOUDS = (".azure.com", ".usgovcloudapi.net", ".chinacloudapi.cn")
"""Hosts of Azure's control planes."""
API = "2024-10-01"
SCOPE = "https://management.azure.com/.default"


class Reply(Struct, frozen=True):
    """What came back. Status 0: nothing did, and `said` is why."""

    status: int
    body: dict[str, Any] = {}
    after: float | None = None
    said: str = ""


class Place(Protocol):
    """What a file may say of the resource's place; it wins over the environment (`harness.spec.AzureSpec`)."""

    @property
    def subscription_id(self) -> str | None:
        """The subscription."""
        ...

    @property
    def resource_group(self) -> str | None:
        """The resource group."""
        ...

    @property
    def account(self) -> str | None:
        """The resource's name."""
        ...

    @property
    def management_endpoint(self) -> str | None:
        """The control plane's URL."""
        ...


def arm(place: Place) -> str:
    """The control plane's URL.

    Raises:
        ModelError: the token would go out in the clear, or to a host that only a benchmark file names.
    """
    given = os.environ.get("AZURE_MANAGEMENT_ENDPOINT", "").strip().rstrip("/")
    written = (place.management_endpoint or "").strip().rstrip("/")
    path = "model.azure.management_endpoint" if written else "AZURE_MANAGEMENT_ENDPOINT"
    url = written or given or ARM
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not is_loopback(host):
        what = "the token would go out unencrypted beyond this machine"
        raise ModelError(Problem(what, path=path, got=repr(url), fix="use https://"))
    if written not in ("", given) and not (is_loopback(host) or host.endswith(CLOUDS)):
        what = "the token would go to a host that is no control plane of Azure's"
        fix = "set AZURE_MANAGEMENT_ENDPOINT to it, if you trust this file"
        raise ModelError(Problem(what, path=path, got=repr(url), fix=fix))
    return url


def account(endpoint_url: str, place: Place) -> str:
    """The path of the Azure OpenAI resource. Raises `ModelError` with every setting that is missing."""
    host = urlsplit(endpoint_url).hostname or ""
    own = host.partition(".")[0] if host.endswith((".azure.com", ".azure.us", ".azure.cn")) else ""
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_OPENAI_ACCOUNT")
    written = (place.subscription_id, place.resource_group, place.account)
    values = [w or os.environ.get(n, "").strip() for n, w in zip(names, written, strict=True)]
    values[2] = values[2] or own
    missing = [n for n, v in zip(names, values, strict=True) if not v]
    if missing:
        raise ModelError(
            Problem(
                f"{', '.join(missing)} not set; a tuned model at Azure is deployed on the control plane",
                path="model",
                fix=f"export {' '.join(f'{n}=...' for n in missing)} (the resource's overview page shows them)",
            )
        )
    group = f"/subscriptions/{values[0]}/resourceGroups/{values[1]}"
    return f"{group}/providers/Microsoft.CognitiveServices/accounts/{values[2]}"


def signed_in() -> str:
    """Why there will be no token, or empty; asks nobody."""
    from importlib.util import find_spec

    if os.environ.get("AZURE_MANAGEMENT_TOKEN", "").strip() or (find_spec("azure") and find_spec("azure.identity")):
        return ""
    ways = "set AZURE_MANAGEMENT_TOKEN, or `pip install azure-identity` and `az login`"
    return f"no token for Azure's control plane: {ways}"


class Control:
    """A connection to the control plane, open as long as the `async with`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http: Any = None
        self._token = ""

    async def __aenter__(self) -> Control:
        """Get a token and open the connection. Raises `ModelError` without one."""
        import httpx2

        self._token = await _token()
        here = is_loopback(urlsplit(self.url).hostname or "")
        self._http = httpx2.AsyncClient(timeout=60.0, follow_redirects=False, trust_env=not here)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._http.aclose()

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """One request; never raises what the network or the service says."""
        import httpx2

        headers = {"authorization": f"Bearer {self._token}"}
        try:
            response = await self._http.request(
                method, self.url + path, params={"api-version": API}, json=body, headers=headers
            )
        except httpx2.HTTPError as error:
            return Reply(0, said=self._scrub(f"no connection to the control plane: {error or type(error).__name__}"))
        said = self._scrub(response.text)
        try:
            read: Any = json.loads(said) if said else {}
        except ValueError:
            read = {}
        text = "" if isinstance(read, dict) and read else said[:200]
        return Reply(response.status_code, read if isinstance(read, dict) else {}, retry_after(response.headers), text)

    def _scrub(self, text: str) -> str:
        """The text without the token, should the service repeat it."""
        return hidden(text, self._token, "[token]")


async def _token() -> str:
    """The token: the environment's, else azure-identity's."""
    given = os.environ.get("AZURE_MANAGEMENT_TOKEN", "").strip()
    if given:
        return given
    try:
        from azure.core.exceptions import AzureError
        from azure.identity.aio import DefaultAzureCredential
    except ImportError:
        raise ModelError(Problem(signed_in(), path="AZURE_MANAGEMENT_TOKEN")) from None
    try:
        async with DefaultAzureCredential() as credential:
            return (await credential.get_token(SCOPE)).token
    except AzureError as error:
        fix = "run `az login`, or set AZURE_MANAGEMENT_TOKEN (`az account get-access-token --query accessToken -o tsv`)"
        said = str(error).strip().splitlines()[0][:200]
        raise ModelError(Problem(f"azure-identity gave no token: {said}", fix=fix)) from None
