"""The connection: hook, form, and what ``test_connection`` says."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.errors import AdobeAuthError, AdobeConfigError
from airflow_provider_adobe_deletion.get_provider_info import get_provider_info
from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
from airflow_provider_adobe_deletion.simulator import Fault


@pytest.fixture
def hook(adobe, monkeypatch):
    def make(**overrides):
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json(**overrides))
        return AdobeHook()

    return make


class TestTestConnection:
    def test_proves_token_and_sandbox(self, adobe, hook):
        assert hook().test_connection() == (True, "Sandbox dev (development, active) is reachable.")
        assert not [entry for entry in adobe.journal if entry.took_effect]

    def test_proves_the_company_too_where_one_is_set(self, hook):
        good, said = hook(global_company_id="exampl0").test_connection()
        assert good
        assert "Sandbox dev" in said
        assert "company exampl0 is reachable" in said

    def test_discovers_the_company_where_no_sandbox_is_set(self, hook):
        good, said = hook(sandbox_name=None).test_connection()
        assert good
        assert said.startswith("Data Repair company exampl0 was found. No sandbox_name is set")

    def test_jwt(self, adobe, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", json.dumps(adobe.jwt_connection()))
        assert AdobeHook().test_connection()[0]

    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            ({"password": "wrong-secret-value"}, "invalid_client"),
            ({"password": None}, "password (client secret)"),
            ({"login": None}, "login (client id)"),
            ({"org_id": None}, "no org_id"),
            ({"scopes": None}, "no scopes"),
            ({"scopes": "openid,nonsense"}, "invalid_scope"),
            ({"sandbox_name": "nowhere"}, "look up sandbox nowhere"),
            ({"sandbox_id": "00000000-0000-0000-0000-000000000000"}, "sandbox_id"),
            ({"global_company_id": "otherco0"}, "it may use: exampl0"),
            ({"sandbox_name": "Dev Sandbox"}, "sandbox_name"),
            ({"platform_url": "http://platform.adobe.io"}, "platform_url"),
        ],
    )
    def test_says_in_one_sentence_what_is_missing_or_refused(self, hook, overrides, said):
        good, sentence = hook(**overrides).test_connection()
        assert not good
        assert said in sentence
        assert "wrong-secret-value" not in sentence
        assert "\n" not in sentence

    @pytest.mark.parametrize(
        ("auth", "said"), [("basic", "auth must be oauth or jwt"), ("jwt", "technical_account_id")]
    )
    def test_authentication_kinds(self, adobe, monkeypatch, auth, said):
        connection = adobe.connection()
        connection["extra"]["auth"] = auth
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", json.dumps(connection))
        good, sentence = AdobeHook().test_connection()
        assert not good
        assert said in sentence

    def test_ambiguous_company_lists_the_choices(self, adobe, hook):
        adobe.settings.global_company_ids = ("exampl0", "exampl1")
        good, sentence = hook(sandbox_name=None).test_connection()
        assert not good
        assert "exampl0" in sentence
        assert "exampl1" in sentence

    def test_adobe_unreachable(self, hook):
        good, sentence = hook(ims_url="http://127.0.0.1:9").test_connection()
        assert not good
        assert "IMS" in sentence


def test_every_missing_field_is_named_before_any_request(adobe, hook):
    for name in ("org_id", "scopes", "sandbox_name"):
        with pytest.raises(AdobeConfigError, match=name):
            hook(**{name: None}).client.send(profile.get_job("j1"))
    with pytest.raises(AdobeConfigError, match="production sandbox"):
        hook(sandbox_name=None).client.send(profile.get_job("j1"))
    assert len(adobe.journal) == 0


async def test_clients_of_one_connection_are_shared_while_used(adobe, hook):
    made = hook()
    async with made.aclient() as first, AdobeHook().aclient() as second:
        assert first is second
    async with made.aclient() as third:
        assert third is not first


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="counts sockets as Linux shows them")
async def test_connections_of_one_credential_share_pool_and_token(adobe, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ONE", adobe.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", adobe.connection_json(sandbox_name="prod"))
    one, other = AdobeHook("one"), AdobeHook("other")
    async with one.aclient() as first, other.aclient() as second:
        assert first is not second
        looks = [client.asend(profile.list_page({})) for client in (first, second) for _ in range(40)]
        await asyncio.gather(*looks)
        assert first._channel is second._channel
        assert len(_open_sockets(adobe.url)) <= 10
    assert len(adobe.journal.select("POST", "/ims/token")) == 1
    assert {entry.sandbox for entry in adobe.journal.select("GET", "/system/jobs")} == {"dev", "prod"}
    await asyncio.sleep(0)
    assert _open_sockets(adobe.url) == []


async def test_different_credentials_share_nothing(adobe, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ONE", adobe.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", adobe.connection_json(password="another-secret-value"))
    async with AdobeHook("one").aclient() as first, AdobeHook("other").aclient() as second:
        await first.asend(profile.list_page({}))
        with pytest.raises(AdobeAuthError):
            await second.asend(profile.list_page({}))
        assert first._channel is not second._channel


def _open_sockets(url):
    """Return this process's established TCP connections to a server on loopback."""
    port = f"{int(url.rsplit(':', 1)[1]):04X}"
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    to_server = {fields[9] for fields in lines if fields[2].endswith(f":{port}") and fields[3] == "01"}
    ours = {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return [inode for inode in to_server if f"socket:[{inode}]" in ours]


async def test_a_cancelled_user_does_not_take_the_connection_from_the_others(adobe, hook):
    made = hook()
    entered = asyncio.Event()

    async def use() -> bool:
        async with made.aclient() as client:
            entered.set()
            await asyncio.sleep(0.05)
            await client.asend(profile.list_page({}))
        return True

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await entered.wait()
    first.cancel()
    assert await second


def test_of_the_extra_what_may_be_secret_is_masked_and_nothing_else(adobe, monkeypatch):
    """A sandbox or an address that logs show as *** would hide where something is deleted."""
    seen = []
    monkeypatch.setattr("airflow_provider_adobe_deletion.hooks.adobe.mask_secret", seen.append)
    connection = adobe.jwt_connection(client_secret="typed in the wrong place")
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", json.dumps(connection))
    with AdobeHook().client:
        pass
    names = {"private_key", "client_secret"}
    assert [value for value in seen if isinstance(value, dict)] == [{name: connection["extra"][name] for name in names}]


@pytest.mark.parametrize("extra", ["[]", "5", "no JSON p8e-in-it", "[" * 100_000])
def test_an_extra_that_is_no_object_is_refused(adobe, monkeypatch, extra):
    connection = SimpleNamespace(**{**adobe.connection(), "extra": extra})
    monkeypatch.setattr(AdobeHook, "get_connection", lambda self, conn_id: connection)
    with pytest.raises(AdobeConfigError, match="extra must be a JSON object") as refused:
        AdobeHook().client  # noqa: B018
    assert "p8e" not in str(refused.value)


def test_minted_tokens_are_masked(adobe, hook, monkeypatch):
    seen = []
    monkeypatch.setattr("airflow_provider_adobe_deletion.hooks.adobe.mask_secret", seen.append)
    hook().client.send(profile.list_page({}))
    assert len(seen) == 1
    adobe.faults.add(Fault(method="GET", path="/system/jobs", status=401))
    hook().client.send(profile.list_page({}))
    assert len(set(seen)) == 2


class TestForm:
    def test_secrets_are_password_fields(self):
        (connection,) = get_provider_info()["connection-types"]
        secret = {
            name for name, field in connection["conn-fields"].items() if field["schema"].get("format") == "password"
        }
        assert secret == {"private_key"}

    def test_the_forms_of_airflow_2_and_3_agree(self):
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget
        from wtforms import Form, PasswordField
        from wtforms.validators import AnyOf

        widgets = AdobeHook.get_connection_form_widgets()
        (connection,) = get_provider_info()["connection-types"]
        declared = connection["conn-fields"]
        assert list(widgets) == list(declared)
        form = type("ConnectionForm", (Form,), dict(widgets))()
        for name, field in form._fields.items():
            schema = declared[name]["schema"]
            assert str(field.label.text) == declared[name]["label"]
            assert field.description == declared[name]["description"]
            assert isinstance(field, PasswordField) == (schema.get("format") == "password")
            assert isinstance(field.widget, BS3PasswordFieldWidget) == (schema.get("format") == "password")
            assert field.default == schema.get("default")
            offered = schema.get("examples", [None])[0]
            assert connection["ui-field-behaviour"]["placeholders"].get(name) == offered
            choices = [check.values for check in field.validators if isinstance(check, AnyOf)]
            assert [list(values) for values in choices] == ([schema["enum"]] if "enum" in schema else [])
        assert AdobeHook.get_ui_field_behaviour() == {
            name.replace("-", "_"): value for name, value in connection["ui-field-behaviour"].items()
        }

    def test_airflow_finds_the_provider(self):
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        assert "airflow-provider-adobe-deletion" in manager.providers
        assert manager.hooks["adobe"].hook_class_name == "airflow_provider_adobe_deletion.hooks.adobe.AdobeHook"

    def test_every_module_that_it_names_exists(self):
        from importlib import import_module

        info = get_provider_info()
        for kind in ("hooks", "operators", "sensors", "triggers"):
            for entry in info[kind]:
                for module in entry["python-modules"]:
                    import_module(module)
