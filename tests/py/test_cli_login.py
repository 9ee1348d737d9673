"""`headrace login`: access by a device code before the pipeline runs, which then asks nobody."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import headrace.cli
import pytest
from test_auth import ALL, Server, config, load


def arguments(url: str, store: Path) -> list[str]:
    urls = ["--token-url", f"{url}/token", "--device-url", f"{url}/device"]
    return ["login", *urls, "--client-id", "me", "--token-store", str(store)]


def made(url: str, store: Path) -> Any:
    """What the pipeline has."""
    given = {"type": "oauth2", "grant": "device_code", "client_id": "me", "client_auth": "none"}
    urls = {"token_url": f"{url}/token", "device_url": f"{url}/device"}
    return config(url, {**given, **urls, "token_store": str(store)})


def test_a_pipeline_finds_what_was_given(api: Any, tmp_path: Path, capsys: Any, native_only: Any) -> None:
    server = Server()
    server.pending = 2
    url = api(server).url
    store = tmp_path / "tokens"
    assert headrace.cli.main(arguments(url, store)) == 0
    out, err = capsys.readouterr()
    (file,) = store.glob("*.json")
    assert "open http://x/enter and enter the code ABCD" in err
    assert out == f"Access to {url}/token was given; the refresh token is in {file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(secret in out + err for secret in ("refresh-", "token-1"))
    assert load(tmp_path / "run", made(url, store)) == ALL
    assert "ABCD" not in capsys.readouterr().err

    assert headrace.cli.main(arguments(url, store)) == 0  # what is there still works
    assert "ABCD" not in capsys.readouterr().err
    assert headrace.cli.main([*arguments(url, store), "--again"]) == 0
    assert "ABCD" in capsys.readouterr().err
    assert load(tmp_path / "again", made(url, store)) == ALL


def test_the_configuration_of_a_source(api: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    server = Server()
    url = api(server).url
    section = "SOURCES__REST_API__SHOP__CREDENTIALS"
    for name, value in (("TOKEN_URL", f"{url}/token"), ("DEVICE_URL", f"{url}/device"), ("CLIENT_ID", "me")):
        monkeypatch.setenv(f"{section}__{name}", value)
    monkeypatch.setenv(f"{section}__TOKEN_STORE", str(tmp_path / "t.json"))
    assert headrace.cli.main(["login", "shop"]) == 0
    assert (tmp_path / "t.json").exists()
    assert headrace.cli.main(["login", "other"]) == 2
    assert "token_url" in capsys.readouterr().err


def test_no_access_is_status_1(api: Any, tmp_path: Path, capsys: Any) -> None:
    server = Server()
    server.denies = True
    assert headrace.cli.main(arguments(api(server).url, tmp_path)) == 1
    assert "access_denied: no" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_status_1(tmp_path: Path, capsys: Any) -> None:
    wrong = arguments("http://127.0.0.1:9", tmp_path)
    wrong[wrong.index("http://127.0.0.1:9/device")] += "?api_key=s3cret"
    assert headrace.cli.main(wrong) == 1
    err = capsys.readouterr().err
    assert "http://127.0.0.1:9/device?api_key=*** could not be asked (ConnectionError)" in err
    assert "s3cret" not in err


def test_no_refresh_token_is_status_1(api: Any, tmp_path: Path, capsys: Any) -> None:
    server = Server()
    server.refreshes = False
    assert headrace.cli.main(arguments(api(server).url, tmp_path)) == 1
    assert "gave access, but no refresh token for later runs: the scope `offline_access`" in capsys.readouterr().err


def test_a_store_that_cannot_be_written_is_status_1(api: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    assert headrace.cli.main(arguments(api(Server()).url, tmp_path / "file" / "t.json")) == 1
    assert "headrace login: auth: the refresh token cannot be kept in" in capsys.readouterr().err


def test_wrong_arguments_are_status_2(capsys: Any) -> None:
    for wrong in ([], ["login", "--client-auth"], ["logon"]):
        with pytest.raises(SystemExit) as caught:
            headrace.cli.main(wrong)
        assert caught.value.code == 2
    bad = ["login", "--token-url", "http://x", "--device-url", "http://x", "--client-id", "me", "--client-auth", "jwt"]
    assert headrace.cli.main(bad) == 2
    assert "client_auth `jwt` is none of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "headrace"], [str(Path(sys.executable).parent / "headrace")]]
)
def test_it_is_a_command(command: list[str]) -> None:
    done = subprocess.run([*command, "login", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--device-url" in done.stdout
