"""What Ollama's errors are about: a registry that fails, a model that embeds, one that makes images, an adapter."""

from __future__ import annotations

import hashlib
import http.server
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np


def spelled(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry(http.server.BaseHTTPRequestHandler):
    """Knows one manifest, whose blob is not what its digest says; `shut` asks for a token that nobody has."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        layer = {"mediaType": "application/vnd.ollama.image.model", "digest": spelled(b"right"), "size": 5}
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": spelled(b"{}"), "size": 2}
        manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
        bodies = {
            "/v2/library/wrong/manifests/latest": json.dumps(manifest).encode(),
            f"/v2/library/wrong/blobs/{spelled(b'right')}": b"wrong",
            f"/v2/library/wrong/blobs/{spelled(b'{}')}": b"{}",
        }
        status = 401 if "/shut/" in self.path else 200 if self.path in bodies else 404
        body = bodies.get(self.path, b"{}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def write_embedder(path: Path) -> Path:
    """A file whose header says that its model embeds."""
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(path: Path) -> Path:
    """A LoRA adapter with one tensor."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_name(path.name)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_painter(models: Path) -> None:
    """Let the config of the model `painter` say that it makes images."""
    path = models / "manifests" / "registry.ollama.ai" / "library" / "painter" / "latest"
    manifest = json.loads(path.read_bytes())
    blobs = models / "blobs"
    config = json.loads((blobs / manifest["config"]["digest"].replace(":", "-")).read_bytes())
    data = json.dumps({**config, "capabilities": ["image"]}).encode()
    (blobs / spelled(data).replace(":", "-")).write_bytes(data)
    manifest["config"] |= {"digest": spelled(data), "size": len(data)}
    path.write_text(json.dumps(manifest))
