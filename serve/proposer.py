"""A language model behind an OpenAI-compatible endpoint, asked for proposals while workflows are compiled.

Nothing leaves: an endpoint is only asked where its name leads to addresses of this machine or of a private
network, without proxies and without following where it points to.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from envgen.settings import Endpoint
from fde.engagement import Engagement
from fde.errors import InputError, WorkError
from serve.keys import read_key

_SETTING = "[envgen.proposer]"
_ANSWER_TOKENS = 2048
# An answer is a few kilobytes; whatever an endpoint sends beyond that is not read.
_MOST_BYTES = 1_000_000


class EndpointProposer:
    """Asks the model of one endpoint, with the likeliest answer wanted.

    Args:
        endpoint: Where it is.
        engagement: What the settings belong to.

    Raises:
        InputError: when the address is not a private one, or the key cannot be read.
    """

    def __init__(self, endpoint: Endpoint, engagement: Engagement) -> None:
        self._endpoint = endpoint
        self._url = endpoint.url.rstrip("/") + "/chat/completions"
        key = read_key(endpoint.api_key, engagement, f"{_SETTING} api_key")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.model = endpoint.model
        try:
            private_address(endpoint.url)
        except WorkError as error:
            raise InputError(error.message, error.hint) from error

    def ask(self, prompt: str, form: Mapping[str, Any]) -> str:
        """The answer of the model, asked to keep to a JSON schema; servers without schemas are asked again.

        Raises:
            WorkError: when the endpoint does not answer, or with something that is no chat completion.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0.0,
            "seed": 0,
            "max_tokens": _ANSWER_TOKENS,
        }
        wanted = {"type": "json_schema", "json_schema": {"name": "proposals", "schema": dict(form)}}
        status, answer = self._post({**body, "response_format": wanted})
        if status in (400, 422):
            status, answer = self._post(body)
        if status != 200:
            raise WorkError(
                f"{self._url} answers with status {status}: {answer.decode(errors='replace')[:200]}"
            )
        try:
            content = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise WorkError(f"{self._url} answers with something that is no chat completion.") from error
        return content if isinstance(content, str) else ""

    def _post(self, body: Mapping[str, Any]) -> tuple[int, bytes]:
        # To the address that was looked at: asked a second time, a name may lead elsewhere.
        there = httpx.URL(self._url)
        address = there.copy_with(host=private_address(self._endpoint.url))
        headers = {**self._headers, "Host": there.netloc.decode()}
        client = httpx.Client(trust_env=False, follow_redirects=False, timeout=self._endpoint.timeout_s)
        try:
            with (
                client,
                client.stream(
                    "POST", address, json=body, headers=headers, extensions={"sni_hostname": there.host}
                ) as answer,
            ):
                told = bytearray()
                for piece in answer.iter_bytes():
                    told += piece
                    if len(told) > _MOST_BYTES:
                        raise WorkError(f"{self._url} answers with more than {_MOST_BYTES:,} bytes.")
                return answer.status_code, bytes(told)
        except httpx.HTTPError as error:
            raise WorkError(f"{self._url} does not answer: {error or type(error).__name__}") from error


def private_address(url: str) -> str:
    """The address of an endpoint on this machine or in a private network.

    Raises:
        InputError: when its name leads to a public address, to any at all.
        WorkError: when its name leads nowhere.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError(f"{_SETTING} url: {url} is no address: {error}.") from error
    try:
        known = socket.getaddrinfo(host, port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WorkError(f"{_SETTING} url: nobody knows the host {host!r}: {error}.") from error
    found = [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in known]
    for each in found:
        ip = getattr(each, "ipv4_mapped", None) or each
        if not (ip.is_loopback or ip.is_private or ip.is_link_local) or ip.is_unspecified:
            raise InputError(
                f"{_SETTING} url: {host} is at {ip}, a public address.",
                "The client's data stays in its network: name a model there, or remove the section.",
            )
    return str(found[0])
