# SPDX-License-Identifier: Apache-2.0
"""What all candidates share: labels, the receiver, the front nginx, the candidates themselves.

Every candidate sits behind an nginx of the same binary and the same settings, apart from the lines
that hand /faro/collect to it, and posts to the same receiver.
"""

import glob
import json
import os
import re
import shutil
import socket
import sys
import urllib.request

from .procs import Process, wait_until

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SERVICE, NAMESPACE, ENVIRONMENT, VERSION = "shop", "store", "production", "1.4.2"
PEER_ENV = {
    "OTEL_SERVICE_NAME": SERVICE, "APP_NAMESPACE": NAMESPACE,
    "APP_ENVIRONMENT": ENVIRONMENT, "APP_VERSION": VERSION,
}
OUR_ENV = {
    "OTEL_SERVICE_NAME": SERVICE,
    "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={NAMESPACE},k8s.namespace.name={NAMESPACE},"
                                f"deployment.environment.name={ENVIRONMENT},service.version={VERSION}",
}

NGINX = """{modules}
{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {directory}/{name}.pid;
error_log stderr warn;
{main}
events {{ worker_connections {connections}; }}
http {{
    {log}
    client_max_body_size 6m;
    client_body_buffer_size 512k;
    client_body_temp_path {directory}/{name}.body;
    proxy_temp_path {directory}/{name}.proxy;
    fastcgi_temp_path {directory}/{name}.fastcgi;
    scgi_temp_path {directory}/{name}.scgi;
    uwsgi_temp_path {directory}/{name}.uwsgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {server}
    }}
}}
"""

UPSTREAM = """upstream relay {{
        server {address};
        keepalive 128;
        keepalive_requests 1000000000;
    }}"""

PROXY = """location = /faro/collect {
            proxy_pass http://relay/%s;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            %s
        }"""

SHIPPED_SOCKET = "unix:/run/faro-ingest/faro.sock"
# For scenarios that ask nginx for each answer's status and time.
ACCESS_LOG = "log_format bench '$status $request_time'; access_log {path} bench;"


def count_fsyncs(path):
    """What goes before a command so that strace leaves a table of its fsyncs there, when it has ended.
    No other call is held up by it."""
    return [need("strace", "strace"), "-f", "-c", "-w", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", path]


def shipped(name, socket_path=None):
    """One of our own nginx snippets, with the socket of this run and the limits that the peers have:
    as many kept connections, and no temporary file for a large plain body."""
    with open(os.path.join(os.path.dirname(HERE), "nginx", name)) as file:
        text = file.read()
    text = re.sub(r"keepalive \d+;", "keepalive 128; keepalive_requests 1000000000;", text)
    text = re.sub(r"client_body_buffer_size \w+;", "client_body_buffer_size 512k;", text)
    if socket_path:
        if SHIPPED_SOCKET not in text:
            raise Missing(f"nginx/{name} no longer names {SHIPPED_SOCKET}: adapt harness/stage.py")
        text = text.replace(SHIPPED_SOCKET, "unix:" + socket_path)
    return text


class Missing(Exception):
    """Something is not installed, or did not start; the text says what to do."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def need(program, package):
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{program} is not installed (Debian: {package})")
    return path


def node(home):
    """The Node that package.json of the Express peer names, since undici needs a newer one than Debian has."""
    found = glob.glob(os.path.join(home, "node_modules/node-linux-*/bin/node"))
    return found[0] if found else need("node", "nodejs")


class Nginx(Process):
    def __init__(self, directory, name, server, http="", main="", modules="", workers=2, env=None,
                 log="access_log off;", port=None, connections=4096):
        self.port = port or free_port()
        path = os.path.join(directory, name + ".conf")
        with open(path, "w") as conf:
            conf.write(NGINX.format(
                directory=directory, name=name, port=self.port, workers=workers, server=server,
                http=http, main=main, modules=modules, log=log, connections=connections,
                user="user root;" if os.geteuid() == 0 else ""))
        super().__init__(name, [need("nginx", "nginx-light"), "-c", path, "-p", directory],
                         directory, env)
        wait_for_port(self)


def wait_for_port(process):
    def is_listening():
        if not process.is_running():
            raise Missing(f"{process.name} ended at once:\n{process.log_tail()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", process.port)) == 0
    if not wait_until(is_listening, 10):
        raise Missing(f"{process.name} does not listen after 10 s:\n{process.log_tail()}")


def wait_for_socket(process, path, seconds):
    """A path is there a moment before anybody listens on it: only a connection tells."""
    def is_listening():
        with socket.socket(socket.AF_UNIX) as probe:
            return not process.is_running() or probe.connect_ex(path) == 0
    if not wait_until(is_listening, seconds) or not process.is_running():
        process.stop()
        raise Missing(f"{process.name} does not listen on {path}:\n{process.log_tail()}")


class FastReceiver(Nginx):
    """nginx `return 202`; its own request counter is the count."""

    delay_s = 0

    def __init__(self, directory, port=None):
        super().__init__(directory, "receiver", """location = /collect { return 202; }
        location = /-/counts { stub_status; }""", port=port)
        self.asked = 1  # the probe of wait_for_port() sent no request; this is the next question

    def posts(self):
        # "server accepts handled requests\n A H R \n": the question itself is among R.
        text = get(self.port, "/-/counts").decode()
        count = int(text.splitlines()[2].split()[2]) - self.asked
        self.asked += 1
        return count


class SlowReceiver(Process):
    """receiver.py: counts, looks at the labels, and may take its time."""

    def __init__(self, directory, delay_ms=0):
        self.delay_s = delay_ms / 1000
        self.port = free_port()
        super().__init__("receiver", [sys.executable, os.path.join(HERE, "receiver.py"),
                                      str(self.port), "--delay-ms", str(delay_ms)], directory)
        wait_for_port(self)

    def counts(self):
        return json.loads(get(self.port, "/-/counts"))

    def posts(self):
        return self.counts()["posts"]


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read()


class Candidate:
    """A front nginx and, unless it does the work itself, an application behind it."""

    def __init__(self, name, nginx, application=None):
        self.name, self.nginx, self.application = name, nginx, application

    def sent(self, body):
        """What this candidate is sent in a round with this body."""
        return body.inflated() if self.name == "floor" else body

    @property
    def url(self):
        return f"http://127.0.0.1:{self.nginx.port}/faro/collect"

    def processes(self):
        return [p for p in (self.nginx, self.application) if p]

    def stop(self):
        for process in self.processes():
            process.stop()


class Stage:
    """A directory for one run, and how each candidate is put up in it."""

    def __init__(self, directory, receiver_port, binary, installed):
        self.directory, self.receiver_port = directory, receiver_port
        self.binary, self.installed = binary, installed

    def start(self, name, env=None):
        directory = os.path.join(self.directory, name)
        os.makedirs(directory)
        return STARTERS[name](self, name, directory, env or {})

    def collect_url(self):
        return f"http://127.0.0.1:{self.receiver_port}/collect"

    def _behind_nginx(self, name, directory, location, application, socket_path, http=None,
                      **nginx_options):
        """Waits for the application's socket, then puts nginx in front of it."""
        wait_for_socket(application, socket_path, 20)
        nginx = Nginx(directory, "nginx", location,
                      http or UPSTREAM.format(address="unix:" + socket_path), **nginx_options)
        return Candidate(name, nginx, application)

    def raw(self, name, directory, _env):
        upstream = UPSTREAM.format(address=f"127.0.0.1:{self.receiver_port}")
        return Candidate(name, Nginx(directory, "nginx", PROXY % ("collect", ""), upstream))

    def lua(self, name, directory, _env):
        modules = [p for m in ("ndk_http_module", "ngx_http_lua_module")
                   for p in glob.glob(f"/usr/lib/nginx/modules/{m}.so")]
        if len(modules) != 2:
            raise Missing("nginx has no Lua (Debian: libnginx-mod-http-lua lua-zlib lua-cjson)")
        upstream = UPSTREAM.format(address=f"127.0.0.1:{self.receiver_port}")
        lua = (f'lua_package_path "{HERE}/peers/lua/?.lua;;";\n    '
               'init_by_lua_block { require "label" }')
        location = PROXY % ("collect", 'rewrite_by_lua_block { require("label").rewrite() }')
        return Candidate(name, Nginx(
            directory, "nginx", location, upstream + "\n    " + lua,
            main="".join(f"env {key};\n" for key in PEER_ENV),
            modules="".join(f"load_module {path};\n" for path in modules), env=PEER_ENV))

    def express(self, name, directory, _env):
        home = os.path.join(self.installed, "express")
        if not os.path.isdir(os.path.join(home, "node_modules", "express")):
            raise Missing(f"Express is not in {home} (run bench/install {self.installed})")
        # Node looks for modules from where the file is.
        shutil.copy(os.path.join(HERE, "peers/express/server.js"), home)
        path = os.path.join(directory, "socket")
        application = Process("application", [node(home), os.path.join(home, "server.js")],
                              directory, dict(PEER_ENV, SOCKET=path, RECEIVER_URL=self.collect_url(),
                                              CLIENT=name.rpartition("-")[2], NODE_ENV="production"))
        return self._behind_nginx(name, directory, PROXY % ("faro/collect", ""), application, path)

    def fastapi(self, name, directory, _env):
        uvicorn = os.path.join(self.installed, "venv", "bin", "uvicorn")
        if not os.path.exists(uvicorn):
            raise Missing(f"uvicorn is not {uvicorn} (run bench/install {self.installed})")
        path = os.path.join(directory, "socket")
        application = Process("application", [
            uvicorn, "--app-dir", os.path.join(HERE, "peers/fastapi"), "--uds", path,
            "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
            "app:app"], directory, dict(PEER_ENV, RECEIVER_URL=self.collect_url()))
        return self._behind_nginx(name, directory, PROXY % ("faro/collect", ""), application, path)

    def _ours(self, env):
        if not self.binary or not os.path.exists(self.binary):
            raise Missing(f"there is no faro-ingest at {self.binary} (build it, or give --binary)")
        return dict(OUR_ENV, FARO_UPSTREAM_URL=self.collect_url(), **env)

    def include(self, name, directory, env):
        """As in the service's own image: our own listener beside nginx."""
        env = dict({"FARO_WORKERS": name.partition("-")[2] or "1"}, **env)
        path = os.path.join(directory, "socket")
        access_log = env.pop("BENCH_ACCESS_LOG", None)
        log = ACCESS_LOG.format(path=access_log) if access_log else "access_log off;"
        counts = env.pop("BENCH_FSYNCS", None)
        connections = int(env.pop("BENCH_NGINX_CONNECTIONS", 4096))
        location, http = shipped("faro-location.conf"), shipped("faro-http.conf", path)
        if env.pop("BENCH_CRAWLERS", None):
            location = re.sub("include .*faro-request.*;", "fastcgi_param FARO_IGNORE $faro_crawler;", location)
            http += shipped("faro-crawlers.conf")
        application = Process("application", (count_fsyncs(counts) if counts else []) + [
            self.binary, "--listen", "unix:" + path, "--listen-mode", "0666"],
            directory, self._ours(env))
        return self._behind_nginx(name, directory, location, application, path, http, log=log,
                                  connections=connections)

    def sidecar(self, name, directory, env):
        """As in a container of its own: spawn-fcgi, the socket in a directory that both mount."""
        shared = os.path.join(directory, "shared")
        os.makedirs(shared)
        path = os.path.join(shared, "socket")
        application = Process("application", [
            need("spawn-fcgi", "spawn-fcgi"), "-n", "-s", path, "-M", "0666", "--", self.binary],
            directory, self._ours(env))
        return self._behind_nginx(name, directory, shipped("faro-location.conf"), application, path,
                                  shipped("faro-http.conf", path))


STARTERS = {
    "raw": Stage.raw,
    "floor": Stage.raw,
    "lua": Stage.lua,
    "include": Stage.include,
    "include-2": Stage.include,
    "sidecar": Stage.sidecar,
    "express-undici": Stage.express,
    "express-fetch": Stage.express,
    "fastapi": Stage.fastapi,
}
TITLES = {
    "raw": "nginx proxy_pass (no inflate, no labels)",
    "floor": "floor: proxy_pass of inflated body",
    "lua": "Lua in nginx (lua-zlib, lua-cjson)",
    "include": "faro-ingest, include",
    "include-2": "faro-ingest, include, 2 workers",
    "sidecar": "faro-ingest, sidecar",
    "express-undici": "Express 5 + undici",
    "express-fetch": "Express 5 + fetch",
    "fastapi": "FastAPI + httpx",
}
