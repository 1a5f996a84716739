"""Whose request it is: by key, or by address and user; hashed wherever it goes."""

from __future__ import annotations

import hmac

import pytest

from arriero.core.request import GenerateRequest
from arriero.server.options import ServerOptions
from arriero.server.tenant import key_tenant, tenant_of
from tests.unit.server.conftest import Running, in_process

ASK = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
PATHS = ["/v1/chat/completions", "/v1/messages", "/api/chat"]


def _last(running: Running) -> GenerateRequest:
    return running.service.requests[-1]


@pytest.mark.parametrize("path", PATHS)
async def test_a_valid_key_is_the_tenant_whatever_user_is_named(path: str) -> None:
    async with in_process(ServerOptions(api_keys=("first key", "second key"))) as (running, client):
        tenants: list[str] = []
        for key in ("first key", "second key"):
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                user = {"user_id": f"user {len(tenants)}"}
                extra = {"metadata": user} if path == "/v1/messages" else {}
                reply = await client.post(path, json={**ASK, **extra}, headers=headers)
                assert reply.status_code == 200
                tenants.append(_last(running).tenant)
        assert tenants == [key_tenant("first key")] * 2 + [key_tenant("second key")] * 2
        assert tenants[0] != tenants[2]
        assert not any("key" in tenant for tenant in tenants)


async def test_without_keys_the_address_and_the_user_are_the_tenant() -> None:
    async with in_process() as (running, client):
        tenants: list[str] = []
        for extra in ({}, {}, {"user": "ann"}, {"user": "bob"}, {"user": "ann"}):
            headers = {"authorization": f"Bearer any {len(tenants)}"}  # nobody checks it, so it counts for nothing
            assert (await client.post(PATHS[0], json={**ASK, **extra}, headers=headers)).status_code == 200
            tenants.append(_last(running).tenant)
        reply = await client.post(PATHS[1], json={**ASK, "metadata": {"user_id": "ann"}})
        assert reply.status_code == 200
        assert _last(running).tenant == tenants[2]
    assert tenants[0] == tenants[1]
    assert tenants[2] == tenants[4]
    assert len(set(tenants)) == 3
    assert not any("ann" in tenant or "bob" in tenant for tenant in tenants)


async def test_all_answers_asked_for_at_once_are_one_tenants() -> None:
    async with in_process() as (running, client):
        reply = await client.post("/v1/chat/completions", json={**ASK, "n": 3, "user": "ann"})
        assert reply.status_code == 200
        assert len(running.service.requests) == 3
        assert len({request.tenant for request in running.service.requests}) == 1
        assert _last(running).tenant


async def test_responses_have_a_tenant_too() -> None:
    async with in_process() as (running, client):
        assert (await client.post("/v1/responses", json={"model": "demo", "input": "hi"})).status_code == 200
        assert _last(running).tenant == tenant_of({"client": ("127.0.0.1", 1)}, b"{}")


def test_addresses_differ_and_ports_do_not() -> None:
    one, same, other = (tenant_of({"client": client}, b"{}") for client in (("a", 1), ("a", 2), ("b", 1)))
    assert hmac.compare_digest(one, same)
    assert one != other
    assert tenant_of({"client": None}, b"{}")
