"""A model hub in a thread: what huggingface_hub's client asks for, answered as the Hub does."""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hf_local"
"""Who sends it may read and write everything but gated repositories."""


class Repository:
    """Branches of commits, the last one first known by its number; a commit is a dict of files."""

    def __init__(self, private=False):
        self.private, self.gated = private, False
        self.commits = {}
        self.heads = {}
        self.messages = []
        self.commit("main", {".gitattributes": b"*.safetensors filter=lfs"}, "initial commit")

    def commit(self, branch, files, message):
        files = {**self.commits.get(self.heads.get(branch), {}), **files}
        digest = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[digest], self.heads[branch] = files, digest
        self.messages.append(message)
        return digest

    def files(self, revision="main"):
        return self.commits.get(self.heads.get(revision, revision))


class LocalHub:
    """The server; ``repositories`` by name, ``requests`` in the order in which they came."""

    def __enter__(self):
        self.repositories, self.blobs, self.requests = {}, {}, []
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


class RefusedError(Exception):
    def __init__(self, status, code=None):
        super().__init__(status, code)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer(GETS)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        self.answer(POSTS)

    def do_PUT(self):
        self.answer(PUTS)

    def answer(self, routes):
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.logged_in = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        try:
            for pattern, act in routes.items():
                if found := re.fullmatch(pattern, path):
                    return act(self, *found.groups())
            raise RefusedError(404)
        except RefusedError as refused:
            code = {} if refused.code is None else {"X-Error-Code": refused.code}
            self.send(b"{}", refused.status, **code)

    def send(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(self, value, status=200):
        self.send(json.dumps(value).encode(), status)

    def repository(self, name):
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.logged_in):
            raise RefusedError(404 if self.logged_in else 401, "RepoNotFound")
        if repository.gated:
            raise RefusedError(403 if self.logged_in else 401, "GatedRepo")
        return repository

    def writable(self, name):
        if not self.logged_in:
            raise RefusedError(401)
        return self.repository(name)

    def resolve(self, name, revision, path):
        repository = self.repository(name)
        files = repository.files(revision)
        if files is None:
            raise RefusedError(404, "RevisionNotFound")
        commit = repository.heads.get(revision, revision)
        if path not in files:
            raise RefusedError(404, "EntryNotFound")
        etag = f'"{hashlib.sha256(files[path]).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": commit}
        if not path.endswith(".safetensors"):
            return self.send(files[path], **headers)
        headers |= {"X-Linked-Size": len(files[path]), "X-Linked-Etag": etag}
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")  # as the Hub's large files are
        address = f"{elsewhere}/lfs/{etag[1:-1]}"
        return self.send(b"", 302, Location=address, **headers)

    def blob(self, digest):
        self.send(self.hub.blobs[digest], ETag=f'"{digest}"')

    def info(self, name, revision="main"):
        repository = self.repository(name)
        sha = repository.heads.get(revision, revision)
        self.send_json({"id": name, "sha": sha, "siblings": []})

    def create(self):
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.logged_in:
            raise RefusedError(401)
        exists = name in self.hub.repositories
        if not exists:
            private = asked.get("private") or asked.get("visibility") == "private"
            self.hub.repositories[name] = Repository(private)
        self.send_json({"url": f"{self.hub.url}/{name}"}, status=409 if exists else 200)

    def branch(self, name, branch):
        repository = self.writable(name)
        if branch in repository.heads:
            raise RefusedError(409)
        repository.heads[branch] = repository.heads["main"]
        self.send_json({})

    def validate(self):
        import yaml

        metadata = yaml.safe_load(json.loads(self.body)["content"].split("---")[1])
        good = isinstance(metadata, dict) and isinstance(metadata.get("tags", []), list)
        errors = [] if good else [{"message": "metadata"}]
        self.send_json({"errors": errors, "warnings": []})

    def preupload(self, name, revision):
        if self.writable(name).files(revision) is None:
            raise RefusedError(404, "RevisionNotFound")
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.send_json({"files": modes})

    def batch(self, name):
        self.writable(name)
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            for each in json.loads(self.body)["objects"]
        ]
        self.send_json({"transfer": "basic", "objects": objects})

    def put(self, digest):
        assert hashlib.sha256(self.body).hexdigest() == digest
        self.hub.blobs[digest] = self.body
        self.send(b"")

    def commit(self, name, revision):
        repository = self.writable(name)
        files, message = {}, None
        for line in self.body.splitlines():
            value = (entry := json.loads(line))["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
        digest = repository.commit(revision, files, message)
        url = f"{self.hub.url}/{name}/commit/{digest}"
        self.send_json({"commitUrl": url, "commitOid": digest, "success": True})


NAME, PART = r"([^/]+/[^/]+)", r"([^/]+)"
GETS = {
    f"/{NAME}/resolve/{PART}/(.+)": _Handler.resolve,
    f"/lfs/{PART}": _Handler.blob,
    f"/api/models/{NAME}": _Handler.info,
    f"/api/models/{NAME}/revision/{PART}": _Handler.info,
}
POSTS = {
    "/api/repos/create": _Handler.create,
    "/api/validate-yaml": _Handler.validate,
    f"/api/models/{NAME}/branch/{PART}": _Handler.branch,
    f"/api/models/{NAME}/preupload/{PART}": _Handler.preupload,
    f"/api/models/{NAME}/commit/{PART}": _Handler.commit,
    f"/{NAME}.git/info/lfs/objects/batch": _Handler.batch,
}
PUTS = {f"/lfs/{PART}": _Handler.put}
