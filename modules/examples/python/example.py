#!/usr/bin/env python3
"""A whole test module: it checks in, measures, stops, and outlives a restart of its agent."""
import hashlib, json, os, socket, sys, threading, time

SECTOR = 512
RECONNECT_SECONDS = 120
SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}


class Agent:
    """The connection to the agent. What can not be said waits; what is measured may be lost, as counters are totals."""

    def __init__(self, context):
        self.context = context
        self.iterations = 0
        self.stop, self.kept = threading.Event(), threading.Event()
        self.waiting, self.socket, self.sending = [], None, threading.Lock()
        self.started = threading.Event()
        threading.Thread(target=self.talk, daemon=True).start()
        self.started.wait(RECONNECT_SECONDS)

    def talk(self):
        deadline = time.monotonic() + RECONNECT_SECONDS
        while time.monotonic() < deadline:
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(os.environ["MUSTER_SOCKET"])
                self.hello(connection)
                for line in connection.makefile():
                    self.hear(json.loads(line))
                    deadline = time.monotonic() + RECONNECT_SECONDS
            except OSError:
                pass
            with self.sending:
                self.socket = None
            time.sleep(0.1)
        self.stop.set()  # no agent for two minutes: the module ends itself

    def hello(self, connection):
        names = {name: self.context[name] for name in ("run", "dpid", "attempt")}
        hello = {"type": "hello", "protocol": 1, "pid": os.getpid(), **names}
        with self.sending:
            for message in [hello] + self.waiting:
                connection.sendall((json.dumps(message) + "\n").encode())
            # A done is said again on every connection until it is kept.
            self.waiting = [message for message in self.waiting if message["type"] == "done"]
            self.socket = connection

    def hear(self, message):
        kind = message["type"]
        if kind == "start":
            self.started.set()
        elif kind == "ping":
            self.say("pong", n=message["n"], iterations=self.iterations)
        elif kind == "stop":
            self.stop.set()
        elif kind == "kept":
            self.kept.set()
        elif kind == "abort":
            os._exit(2)
        # Whatever else there is, is passed over.

    def say(self, kind, **fields):
        message = {"type": kind, **fields}
        with self.sending:
            if kind == "done" or (self.socket is None and kind not in ("metric", "pong")):
                self.waiting.append(message)
            if self.socket is not None:
                try:
                    self.socket.sendall((json.dumps(message) + "\n").encode())
                except OSError:
                    self.socket = None


def block(dpid, number, size):
    """Bytes that say whose they are: one sector of text and a digest, again and again."""
    head = f"{dpid} {number} ".encode()
    return (head + hashlib.sha256(head).hexdigest().encode()).ljust(SECTOR, b".") * (size // SECTOR)


def size_of(text):
    unit = text.lstrip("0123456789")
    return int(text[: len(text) - len(unit)]) * SIZES[unit]


def test(agent, parameters):
    """Writes a file, reads it and compares; the reason why the product failed, or none."""
    dpid, size, inject = agent.context["dpid"], size_of(parameters["size"]), parameters["inject"]
    path, reported = os.path.join(os.environ["MUSTER_WORK"], "data"), 0.0
    while not agent.stop.wait(0.01):
        agent.iterations += 1
        expected = block(dpid, agent.iterations, size)
        with open(path, "wb") as file:
            file.write(expected)
            if inject == "ZERO":
                file.seek(SECTOR)
                file.write(bytes(SECTOR))
        with open(path, "rb") as file:
            actual = file.read()
        if actual != expected:
            return report(agent, path, expected, actual)
        if time.monotonic() - reported > 1:
            reported = time.monotonic()
            agent.say("metric", device="", counters=totals(agent, size), gauges={})
    return None


def report(agent, path, expected, actual):
    sectors = range(0, len(expected), SECTOR)
    offset = next(at for at in sectors if expected[at : at + SECTOR] != actual[at : at + SECTOR])
    wrong = actual[offset : offset + SECTOR]
    kind = "ZERO" if wrong == bytes(SECTOR) else "UNKNOWN"
    agent.say("corruption", target=path, offset=offset, **{"class": kind}, persistence="STORED",
              expected=expected[offset : offset + SECTOR].hex(), actual=wrong.hex(), detail="")
    return f"{kind} in {path} at {offset}"


def totals(agent, size):
    return {"written_bytes": agent.iterations * size, "iterations_count": agent.iterations}


def main():
    if sys.argv[1:] == ["describe"]:
        import tomllib
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "module.toml"), "rb") as file:
            print(json.dumps(tomllib.load(file)))
        return 0
    with open(os.environ["MUSTER_CONTEXT"]) as file:
        context = json.load(file)
    agent = Agent(context)
    agent.say("ready")
    failure = test(agent, context["parameters"])
    result, reason = ("fail", failure) if failure else ("pass", "")
    final = totals(agent, size_of(context["parameters"]["size"]))
    agent.say("done", status="complete", result=result, reason=reason, final=final, text="")
    agent.kept.wait(RECONNECT_SECONDS)
    return 1 if failure else 0


sys.exit(main())
