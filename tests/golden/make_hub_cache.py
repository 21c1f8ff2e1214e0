"""The Hugging Face cache as the reference client writes it: hub_cache/, by huggingface_hub against a small server of its API.

    make_hub_cache.py                   writes hub_cache/ (tests read it)
    make_hub_cache.py --accept PALATE   both clients on each other's caches: what the program at PALATE pulls, huggingface_hub must find
                                        without a network, list without a warning and not fetch again, and diffusers must load;
                                        of what huggingface_hub fetched, the program must fetch nothing

Needs huggingface_hub, and diffusers for --accept. The server speaks plain HTTP on 127.0.0.1; nothing leaves the machine.
"""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE / "hub_cache"


def commit_of(name):
    return hashlib.sha1(name.encode()).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def repositories():
    """{(kind, repo): {revision: (commit, {path: bytes})}}"""
    folder = HERE / "tiny_pipeline"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    older = dict(files)
    older["scheduler/scheduler_config.json"] = older["scheduler/scheduler_config.json"].replace(b"}", b"}\n")
    pairs = {"README.md": b"# pairs\n", "data/pairs.jsonl": b'{"prompt": "a red fox"}\n'}
    return {
        ("models", "tiny/pipeline"): {"main": (commit_of("main"), files), "v1": (commit_of("v1"), older)},
        ("datasets", "tiny/pairs"): {"main": (commit_of("pairs"), pairs)},
    }


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repos = repositories()
    contents = 0  # answers with a file's contents

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            Hub.contents += "ETag" in headers
            self.wfile.write(body)

    def find(self, kind, repo, revision):
        for name, (commit, files) in self.repos[(kind, repo)].items():
            if revision in (name, commit):
                return commit, files
        return None, None

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "api":
            kind, repo, what, revision = parts[1], "/".join(parts[2:4]), parts[4], parts[5]
            commit, files = self.find(kind, repo, revision)
            if what == "revision":
                info = {"id": repo, "sha": commit, "private": False, "siblings": [{"rfilename": path} for path in files], "tags": [], "downloads": 0, "likes": 0}
                return self.answer(200, json.dumps(info).encode(), Content_Type="application/json")
            entries = []
            for path, data in files.items():
                entry = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": path}
                if path.endswith(".safetensors"):
                    entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
                entries.append(entry)
            return self.answer(200, json.dumps(entries).encode(), Content_Type="application/json")
        if parts[0] == "storage":
            data = next(data for revisions in self.repos.values() for _, files in revisions.values() for data in files.values() if hashlib.sha256(data).hexdigest() == parts[1])
            return self.answer(200, data, ETag='"storage"')
        kind = "datasets" if parts[0] == "datasets" else "models"
        parts = parts[1:] if kind == "datasets" else parts
        repo, revision, path = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        commit, files = self.find(kind, repo, revision)
        data = files[path]
        if path.endswith(".safetensors"):
            digest = hashlib.sha256(data).hexdigest()
            return self.answer(302, Location=f"http://localhost:{self.server.server_port}/storage/{digest}", X_Repo_Commit=commit, X_Linked_Etag=f'"{digest}"', X_Linked_Size=len(data))
        return self.answer(200, data, ETag=f'"{git_sha1(data)}"', X_Repo_Commit=commit)

    do_HEAD = do_GET


def start_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ.update(HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", no_proxy="127.0.0.1,localhost")


def write_cache():
    start_server()
    os.environ["HF_HUB_CACHE"] = str(CACHE)
    shutil.rmtree(CACHE, ignore_errors=True)
    import huggingface_hub

    for revision in ("v1", "main"):
        huggingface_hub.snapshot_download("tiny/pipeline", revision=revision)
    huggingface_hub.snapshot_download("tiny/pairs", repo_type="dataset")
    print(f"huggingface_hub {huggingface_hub.__version__}: {sum(1 for _ in CACHE.rglob('*'))} entries in {CACHE}")


def pull(program, cache):
    done = subprocess.run([program, "pull", "tiny/pipeline", "--json"], env={**os.environ, "HF_HUB_CACHE": str(cache)}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def accept(program):
    start_server()
    repo = "tiny/pipeline"
    with tempfile.TemporaryDirectory() as temporary:
        ours, theirs = Path(temporary) / "ours", Path(temporary) / "theirs"
        pulled = pull(program, ours)
        os.environ["HF_HUB_CACHE"] = str(ours)
        import diffusers
        import huggingface_hub

        assert huggingface_hub.snapshot_download(repo, local_files_only=True) == pulled["snapshot"]
        report = huggingface_hub.scan_cache_dir(ours)
        assert not report.warnings, [str(warning) for warning in report.warnings]
        (found,) = report.repos
        assert found.repo_id == repo and found.refs.keys() == {"main"} and found.nb_files == pulled["files"], found
        pipeline = diffusers.DiffusionPipeline.from_pretrained(repo, local_files_only=True)
        served = Hub.contents
        huggingface_hub.snapshot_download(repo)
        assert Hub.contents == served, f"huggingface_hub fetched {Hub.contents - served} files again"
        print(f"huggingface_hub {huggingface_hub.__version__} finds what palate pulled: {found.nb_files} files, {found.size_on_disk} bytes, no warning, nothing fetched again; "
              f"diffusers {diffusers.__version__} loads a {type(pipeline).__name__}")
        shutil.copytree(CACHE, theirs, symlinks=True)
        again = pull(program, theirs)
        assert again["fetched"] == 0 and Hub.contents == served and again["commit"] == pulled["commit"], again
        print(f"palate finds what huggingface_hub {huggingface_hub.__version__} fetched: {again['files']} files, nothing fetched again")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--accept"]:
        accept(str(Path(sys.argv[2]).resolve()))
    else:
        write_cache()
