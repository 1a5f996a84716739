"""Flags, environment and file become Options; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.config import ConfigError, home_folder, load_config, parse_address
from arriero.engine.options import EngineOptions
from arriero.server.tenant import key_tenant


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("example.com", "http://example.com:11434"),
        ("http://example.com", "http://example.com:80"),
        ("https://example.com/path/", "https://example.com:443/path"),
        ("[::1]:1234", "http://[::1]:1234"),
        ("::1", "http://[::1]:11434"),
        ('"127.0.0.1:9"', "http://127.0.0.1:9"),
    ],
)
def test_addresses_as_ollama_reads_them(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize("text", ["localhost:99999", "a:b:c", "[::1"])
def test_an_address_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="OLLAMA_HOST"):
        parse_address(text)


def test_off_loopback_needs_a_key_or_a_word(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "OLLAMA_HOST": "0.0.0.0"}
    with pytest.raises(ConfigError, match=r"ARRIERO_API_KEY.*--no-auth"):
        load_config(environ)
    assert load_config({**environ, "ARRIERO_API_KEY": " k1, k2,"}).server.api_keys == ("k1", "k2")
    assert load_config(environ, no_auth=True).server.host == "0.0.0.0"
    assert load_config(environ, host="127.0.0.1").server.host == "127.0.0.1"
    assert load_config({"HOME": str(tmp_path), "OLLAMA_HOST": "localhost:1"}).server.port == 1


def test_what_is_kept_can_be_switched_off(tmp_path: Path) -> None:
    kept = load_config({"HOME": str(tmp_path)}).service
    assert kept.batches is not None
    assert kept.responses is not None
    off = load_config({"HOME": str(tmp_path), "ARRIERO_STORE_BATCHES": "0", "ARRIERO_STORE_RESPONSES": "0"}).service
    assert (off.batches, off.responses) == (None, None)


def test_ollamas_variables_are_honoured(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "OLLAMA_MODELS": str(tmp_path / "store"),
        "OLLAMA_KEEP_ALIVE": "1h30m",
        "OLLAMA_MAX_QUEUE": "7",
        "OLLAMA_CONTEXT_LENGTH": "1024",
        "OLLAMA_LOAD_TIMEOUT": "0",
        "OLLAMA_NUM_PARALLEL": "3",
        "OLLAMA_ORIGINS": "https://a.example, https://b.example",
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_KV_CACHE_TYPE": "Q4_0",
    }
    config = load_config(environ)
    assert config.ollama_models == tmp_path / "store"
    assert config.service.keep_alive == 5400
    assert (config.service.max_queue, config.service.context_length, config.service.load_timeout) == (7, 1024, None)
    assert config.service.worker == {"max_sequences": 3, "flash_attn": "on", "kv_cache_type": "q4_0"}
    assert config.server.origins == ("https://a.example", "https://b.example")
    assert load_config({"HOME": str(tmp_path), "OLLAMA_KEEP_ALIVE": "-1"}).service.keep_alive == -1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_KEEP_ALIVE", "soon"),
        ("OLLAMA_MAX_QUEUE", "many"),
        ("ARRIERO_KV_LAYOUT", "flat"),
        ("OLLAMA_KV_CACHE_TYPE", "q3_0"),
        ("ARRIERO_MEMORY", "-1"),
        ("ARRIERO_PREFIX_CACHE_SIZE", "a lot"),
        ("ARRIERO_STORE_RESPONSES", "never"),
        ("ARRIERO_SPECULATION", "a bit"),
        ("ARRIERO_FLASH_ATTENTION", "maybe"),
        ("ARRIERO_KEY_WEIGHTS", "x"),
        *(("OLLAMA_MAX_QUEUE", text) for text in ("--5", "²", "0")),
        *(("OLLAMA_KEEP_ALIVE", text) for text in ("--5", "²")),
        ("ARRIERO_LOG", "loud"),
        ("ARRIERO_LOG", "trace"),
    ],
)
def test_unusable_values_name_their_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config({"HOME": str(tmp_path), name: value})


@pytest.mark.parametrize("text", ["0", "off", "No", "false"])
def test_switches_are_read_in_many_words(tmp_path: Path, text: str) -> None:
    names = ("ARRIERO_STORE_RESPONSES", "ARRIERO_SPECULATION", "ARRIERO_FLASH_ATTENTION")
    service = load_config({"HOME": str(tmp_path), **dict.fromkeys(names, text)}).service
    assert (service.responses, service.worker) == (None, {"speculation": False, "flash_attn": "off"})
    auto = {"HOME": str(tmp_path), "ARRIERO_FLASH_ATTENTION": "auto", "OLLAMA_GO_TEMPLATE": "auto"}
    assert (load_config(auto).service.worker, load_config(auto).service.go_template) == ({}, None)


def test_a_variable_that_nobody_reads_is_told(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "ARRIERO_DETERMINISTC": "1", "ARRIERO_BACKEND": "cpu", "ARRIERO_MEMORY": "1G"}
    (note,) = load_config(environ).notes
    assert note == "ARRIERO_DETERMINISTC: arriero has no such variable: did you mean 'ARRIERO_DETERMINISTIC'?"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("4096", 4096), ("3k", 3072), ("512M", 2**29), ("2 GiB", 2**31), ('"1TB"', 2**40)]
)
def test_sizes_are_bytes_or_carry_a_letter(tmp_path: Path, text: str, size: int) -> None:
    environ = {"HOME": str(tmp_path), "ARRIERO_MEMORY": text, "ARRIERO_PREFIX_CACHE_SIZE": text}
    assert load_config(environ).service.worker == {"memory_bytes": size, "parked_bytes": size}


@pytest.mark.parametrize(
    ("environ", "file", "size"),
    [
        ({}, "", 10 << 30),
        ({"ARRIERO_DISK_CACHE": "3M"}, 'disk_cache = "2G"', 3 << 20),
        ({}, 'disk_cache = "2G"', 2 << 30),
        ({}, 'disk_cache = "0"', 0),
        ({"ARRIERO_DISK_CACHE": "0"}, "", 0),
        ({"ARRIERO_PREFIX_CACHE": "0"}, "", 0),
        ({"ARRIERO_PREFIX_CACHE_SIZE": "0"}, "", 0),
    ],
)
def test_prefixes_on_the_disk_have_one_switch(tmp_path: Path, environ: dict[str, str], file: str, size: int) -> None:
    (tmp_path / "config.toml").write_text(file)
    options = load_config(
        {"HOME": str(tmp_path), "ARRIERO_HOME": str(tmp_path / "own"), **environ}, config_file=tmp_path / "config.toml"
    ).service
    assert (options.prefixes, options.prefix_bytes) == (tmp_path / "own" / "cache" / "prefixes", size)


def test_state_lies_under_its_own_home(tmp_path: Path) -> None:
    assert home_folder({"HOME": "/h"}) == Path("/h/.local/share/arriero")
    assert home_folder({"HOME": "/h", "XDG_DATA_HOME": "/x"}) == Path("/x/arriero")
    assert home_folder({"HOME": "/h", "ARRIERO_HOME": "/own"}) == Path("/own")
    with pytest.raises(ConfigError, match="Ollama"):
        home_folder({"HOME": "/h", "ARRIERO_HOME": "/h/.ollama/x"})


def test_models_come_from_file_and_flags(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    file = tmp_path / "config.toml"
    file.write_text('models_dirs = ["more"]\n[models]\nfirst = "a.gguf"\n')
    config = load_config({"HOME": str(tmp_path)}, config_file=file, models=[f"second={tmp_path / 'b.gguf'}"])
    assert dict(config.models) == {"first": tmp_path / "a.gguf", "second": tmp_path / "b.gguf"}
    assert config.folders == (tmp_path / "more",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("surprise = 1", "unknown key 'surprise'"),
        ("models = 1", "must be a table"),
        ("unknown_fields = 1", "'unknown_fields' must be a string"),
        ('unknown_fields = "drop"', "must be refuse or warn"),
        ('in_place = ["elsewhere"]', "in_place knows huggingface and lmstudio, not 'elsewhere'"),
        ("[models]\nx = 1", "must be a string"),
        ("models_dirs = [3]", "'models_dirs' must be a list of strings"),
        ('disk_cache = "lots"', "^disk_cache='lots' must be a number of bytes"),
        ('[models]\nx = "none.gguf"', "no file"),
        ("= broken", "cannot read"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        load_config({"HOME": str(tmp_path)}, config_file=file)


def test_folders_of_flags_are_relative_to_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "models").mkdir(parents=True)
    monkeypatch.chdir(here)
    config = load_config({"HOME": str(tmp_path)}, folders=("models", "absent"))
    assert config.folders == (here / "models", here / "absent")
    assert config.notes == (f"there is no folder {here / 'absent'}; its models are served once it is there",)


def test_other_programs_folders(tmp_path: Path) -> None:
    config = load_config({"HOME": str(tmp_path)})
    assert config.huggingface == (tmp_path / ".cache/huggingface/hub",)
    assert config.lmstudio == (tmp_path / ".lmstudio/models", tmp_path / ".cache/lm-studio/models")
    for environ, hub in (({"HF_HOME": "/hf"}, "/hf/hub"), ({"HF_HOME": "/hf", "HF_HUB_CACHE": "/hub"}, "/hub")):
        assert load_config({"HOME": str(tmp_path), **environ}).huggingface == (Path(hub),)
    (tmp_path / "config.toml").write_text("in_place = []")
    config = load_config({"HOME": str(tmp_path)}, config_file=tmp_path / "config.toml")
    assert (config.huggingface, config.lmstudio) == ((), ())


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file"):
        load_config({"HOME": str(tmp_path)}, config_file=tmp_path / "none.toml")


def test_registries(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    registry = load_config(home).service.registry
    assert registry.agent.startswith("ollama/0.33.0 (")
    assert (registry.private, registry.hf_token) == ((), "")
    assert registry.hf_token_file == tmp_path / ".cache" / "huggingface" / "token"
    assert registry.key == tmp_path / ".ollama" / "id_ed25519"
    settings = {"ARRIERO_PRIVATE_REGISTRIES": "box:5000, 10.0.0.0/8,", "HF_TOKEN": " hf_x\n", "HF_HOME": "/hub"}
    registry = load_config(home | settings).service.registry
    assert registry.private == ("box:5000", "10.0.0.0/8")
    assert (registry.hf_token, registry.hf_token_file) == ("hf_x", Path("/hub/token"))
    assert "hf_x" not in repr(registry)


def test_unknown_fields(tmp_path: Path) -> None:
    assert load_config({"HOME": str(tmp_path)}).server.unknown_fields == "refuse"
    (tmp_path / "config.toml").write_text('unknown_fields = "warn"')
    assert load_config({"HOME": str(tmp_path)}, config_file=tmp_path / "config.toml").server.unknown_fields == "warn"
    refused = {"HOME": str(tmp_path)} | {"ARRIERO_UNKNOWN_FIELDS": "refuse"}
    assert load_config(refused, config_file=tmp_path / "config.toml").server.unknown_fields == "refuse"


def test_fairness_is_read_for_every_worker(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "ARRIERO_API_KEY": "one,two", "ARRIERO_KEY_WEIGHTS": "3, 0.5"}
    environ |= {"ARRIERO_AGEING": "1m", "ARRIERO_INTER_TOKEN_TARGET": "80ms"}
    options = load_config(environ).service.worker
    assert (options["ageing"], options["inter_token_target"]) == (60, 0.08)
    assert options["tenant_weights"] == {key_tenant("one"): 3.0, key_tenant("two"): 0.5}
    assert EngineOptions(ageing=options["ageing"], tenant_weights=options["tenant_weights"])
    assert "tenant_weights" not in load_config({"HOME": str(tmp_path)}).service.worker


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("ARRIERO_KEY_WEIGHTS", text) for text in ("1", "1,2,3", "1,x", "1,0", "1,-1", "1,inf", "1,nan")),
        *(("ARRIERO_AGEING", text) for text in ("0", "-1", "soon")),
        ("ARRIERO_PREEMPTION", "drop"),
        *(("ARRIERO_INTER_TOKEN_TARGET", text) for text in ("-1", "soon")),
    ],
)
def test_fairness_that_cannot_be_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config({"HOME": str(tmp_path), "ARRIERO_API_KEY": "one,two", name: text})


def test_a_user_whom_the_system_does_not_know_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run under a number: no HOME, and no line in /etc/passwd."""

    def nobody(path: Path) -> Path:
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", nobody)
    found = load_config({"ARRIERO_HOME": str(tmp_path)})
    assert (found.home, found.ollama_models) == (tmp_path, Path("/.ollama/models"))
    assert load_config({}).home == Path("/.local/share/arriero")
    for environ in ({"ARRIERO_HOME": "~/mine"}, {"OLLAMA_MODELS": "~/mine"}):
        with pytest.raises(ConfigError, match="~/mine: it is not known where ~ is; set HOME"):
            load_config(environ)
