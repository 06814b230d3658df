"""A hub on loopback that speaks as much of the Hugging Face protocol as a download needs."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG: dict[str, object] = {
    "architectures": ["Qwen3ForCausalLM"],
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "hidden_size": 2560,
    "num_hidden_layers": 36,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "torch_dtype": "bfloat16",
}


@dataclass
class Hub:
    """Models by id, each its files. `served` lists the files that were handed out whole or in part."""

    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    gone: str | None = None  # a file that is listed and cannot be had
    served: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        words = urlsplit(self.path).path.strip("/").split("/")
        api = words[:2] == ["api", "models"]
        model = "/".join(words[2:4] if api else words[:2])
        if model not in self.hub.models:
            self._reply(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif not api and model in self.hub.gated:
            self._reply(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"})
        elif not api:
            self._file("/".join(words[4:]), self.hub.models[model]["/".join(words[4:])], body)
        elif "tree" in words:
            self._reply(200, json.dumps([{"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
                                         for name, content in self.hub.models[model].items()]).encode())  # fmt: skip
        else:
            siblings = [{"rfilename": name} for name in self.hub.models[model]]
            self._reply(200, json.dumps({"id": model, "sha": COMMIT, "siblings": siblings}).encode())

    def _file(self, name, content, body):
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not body:
            self._reply(200, content, headers, body=False)
            return
        wanted = self.headers.get("Range")
        if name == self.hub.gone:
            self._reply(410, b"")
            return
        self.hub.served.append(name)
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        status = 206 if wanted else 200
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._reply(status, content[start:], headers)

    def _reply(self, status, content, headers=(), body=True):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def write_config(tmp_path) -> Callable[..., Path]:
    """Makes a model folder with a config that lacks some fields and has others changed."""

    def write(*lacking: str, **changes: object) -> Path:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        config = {name: value for name, value in {**CONFIG, **changes}.items() if name not in lacking}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


@pytest.fixture
def files() -> dict[str, bytes]:
    """A model as it lies on a hub: what vLLM needs, and what it does not."""
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": bytes(3000),
        "pytorch_model.bin": bytes(3000),
        "tokenizer.json": b"{}",
        "README.md": b"read me",
        "original/model.safetensors": bytes(3000),
    }


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """A running hub, an empty cache and no token."""
    hub = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub})) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
