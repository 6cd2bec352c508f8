"""Makes malformed inputs of every kind, always the same for the same seed: files of a user, and variables.

Each is made of one of the lab's own strategies or scenarios, or of a set of variables that is right, by one change that
makes it wrong whatever the rest says. ``run`` checks inputs in a process of their own, which may die or hang.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPO = Path(__file__).resolve().parents[2]
LIMIT_S = 5.0
MEMORY = 2 << 30
MOST_LINES, MOST_CHARACTERS, MOST_BEFORE = 2, 600, 250
"""Of a message: each input has one fault, of which a second rule may have its own to say. ``MOST_BEFORE``: characters
of a line before it says what is allowed."""
ESCAPES = ("\x1b[2J", "\x00", "\x07", "\x7f", "\x9b31m", "\u202e", "\u2066", "\u2028")
STRATEGIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((REPO / "strategies").glob("*.yaml"))}
SCENARIOS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((REPO / "scenarios").glob("*.yaml"))}


@dataclass(frozen=True)
class Input:
    """One input: ``content`` goes into the file, if there is one, ``raw`` into the variables.

    ``names`` is what a message about it must name.
    """

    kind: str
    names: str
    file: str = ""
    content: bytes = b""
    special: str = ""
    raw: dict[str, Any] = field(default_factory=dict)

    def prepare(self, folder: Path) -> dict[str, Any]:
        """Make the file below ``folder`` and return the variables."""
        path = folder / self.file
        if self.special:
            SPECIAL[self.special](path)
        elif self.file:
            path.write_bytes(self.content)
        place = {"FOLDER": str(folder), "FILE": str(path)}
        raw = {name: place.get(value, value) if isinstance(value, str) else value for name, value in self.raw.items()}
        return {"lab_strategy": "headless", "lab_cluster": "local"} | raw


def _socket(path: Path) -> None:
    import socket

    os.chdir(path.parent)  # a socket's path is short
    socket.socket(socket.AF_UNIX).bind(path.name)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "dangling": lambda path: path.symlink_to("nowhere.yaml"),
    "loop": lambda path: path.symlink_to(path.name),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "socket": _socket,
    "huge": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
}


# --- files ------------------------------------------------------------------------------------------------------------


def _dump(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if items is None:
        yield path
    for key, value in items or ():
        yield from _leaves(value, (*path, key))


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def _with(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = yaml.safe_load(_dump(data))
    _at(copy, path[:-1])[path[-1]] = value
    return copy


def _token(data: Any, draw: random.Random, token: str) -> str:
    """The file with a token, written as it stands, in place of one of its values."""
    return _dump(_with(data, draw.choice(list(_leaves(data))), "TOKEN")).replace("TOKEN", token, 1)


def _tokens(*tokens: str) -> Callable[[Any, random.Random], str]:
    return lambda data, draw: _token(data, draw, draw.choice(tokens))


def _numbers(data: Any) -> list[tuple[Any, ...]]:
    numeric = [path for path in _leaves(data) if type(_at(data, path)) in (int, float)]
    return [path for path in numeric if path[-1] != "by"]


def _number(data: Any, draw: random.Random) -> str:
    found = _numbers(data)
    data, path = (data, draw.choice(found)) if found else (_with(data, ("load",), {"clients": 1}), ("load", "clients"))
    return _dump(_with(data, path, draw.choice([-1, -0.5, 10**9, 10**17, 1e300, "ten", "", True])))


def _type(data: Any, draw: random.Random) -> str:
    return _dump(_with(data, draw.choice(list(_leaves(data))), draw.choice([None, [], {}, [1], {"a": 1}])))


def _section(data: Any, draw: random.Random) -> str:
    return _dump(_with(data, (draw.choice(list(data)),), draw.choice([None, 7, "text", [1, 2], True])))


def _required(data: Any, draw: random.Random) -> str:
    copy = yaml.safe_load(_dump(data))
    main = next(iter(data))
    required = {"strategy": ["name", "title", "shows", "advice", "precision"]}
    del copy[main][draw.choice(required.get(main, ["name", "title", "shows", "phase"]))]
    return _dump(copy)


def _unknown_key(data: Any, draw: random.Random) -> str:
    section = draw.choice([(), (next(iter(data)),), ("client",) if "client" in data else ("load",)])
    key = draw.choice(["colour", "Title", "__proto__", "replica", "\x1b[31m", "x" * 5000, "port", "plan"])
    return _dump(_with(data, (*section, key), "red"))


def _name(data: Any, draw: random.Random) -> str:
    main = next(iter(data))
    wrong = ["other", "Mine", "mine\n", " mine", "../mine", "", "mine" * 50, "mïne", 7]
    return _dump(_with(data, (main, "name"), draw.choice(wrong)))


def _long(data: Any, draw: random.Random) -> str:
    return _dump(_with(data, (next(iter(data)), draw.choice(["title", "shows"])), "x" * draw.choice([1_000, 20_000])))


def _lines(data: Any, draw: random.Random) -> str:
    return _dump(_with(data, (next(iter(data)), draw.choice(["title", "shows"])), draw.choice(["a\nb", "a\n", "a\tb"])))


def _escape(data: Any, draw: random.Random) -> str:
    text = f"a{draw.choice(ESCAPES)}b"
    changed = _with(data, (next(iter(data)), draw.choice(["title", "shows"])), text)
    return yaml.safe_dump(changed, sort_keys=False, allow_unicode=False)


def _raw_escape(data: Any, draw: random.Random) -> str:
    text = _dump(data)
    place = draw.randrange(len(text))
    return text[:place] + draw.choice(["\x00", "\x01", "\x08", "\x1b", "\x7f"]) + text[place:]


def _repeated(data: Any, draw: random.Random) -> str:
    lines = _dump(data).splitlines()
    main, name = next(iter(data)), draw.choice(["title", "name", "shows"])
    found = next(index for index, line in enumerate(lines) if line.startswith(f"  {name}:"))
    return "\n".join([*lines[:found], f"  {name}: {data[main][name]}", *lines[found:]]) + draw.choice(
        ["\n", f"\n{main}: {{}}\n"]
    )


def _nested(data: Any, draw: random.Random) -> str:
    opening, closing = draw.choice([("[", "]"), ("{a: ", "}"), ("[", ""), ("- ", "")])
    depth = draw.choice([40, 900, 1_100, 100_000])
    return f"x:\n  {opening * depth}1{closing * depth}\n" + _dump(data)


def _aliases(data: Any, draw: random.Random) -> str:
    depth = draw.choice([5, 9, 30])
    lines = ["x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join([*lines, f"title: *x{depth - 1}", _dump(data)])


def _anchors(data: Any, draw: random.Random) -> str:
    return draw.choice(["a: &a [*a]\n", "a: *nowhere\n", "<<: 3\n", "<<: [1]\n", "&a : *a\n"]) + _dump(data)


def _broken(data: Any, draw: random.Random) -> str:
    text = _dump(data)
    return draw.choice(
        [
            "", "\n", "# nothing\n", "---\n", "...\n", "null\n", "just words\n", "- 1\n", "7\n",
            "{", "a: [", "a: 'b", "%YAML 9.9\n---\na: 1",
            text + "---\n" + text,
            text + "\n  - odd: [\n", text + "\tindented: 1\n", text.replace(":", "", 1), "\t" + text, text + "a: @b\n",
            text + "a: `b`\n", text + "? [a, b]\n: c\n", text + "1: a\n", text + "yes: a\n",
            text + "? {a: 1}\n: b\n", text + "~: a\n",
            "x" * 300_000, text + "#" * 300_000, text + "".join(f"k{n}: 1\n" for n in range(20_000)),
            text + f"x: [{'1, ' * 20_000}]\n",
        ]
    )  # fmt: skip


def _bytes(data: Any, draw: random.Random) -> bytes:
    text = _dump(data)
    return draw.choice(
        [
            text.encode("utf-16"), text.encode("utf-32"), text.encode() + b"\xff", b"\xc3" + text.encode(),
            text.encode().replace(b"title: ", b"title: \xed\xa0\x80", 1), text.encode().replace(b"e", b"\xe9", 1),
            bytes(draw.randrange(256) for _ in range(400)), b"\x00" * 100, text.encode() + b"\x00",
            b"\x1f\x8b\x08" + text.encode(),
        ]
    )  # fmt: skip


ANY_FILE: dict[str, Callable[[Any, random.Random], str | bytes]] = {
    "dates": _tokens("2020-13-45", "2020-01-01", "2020-02-30T25:61:61Z", "0001-01-01"),
    "tags": _tokens(
        "!!int abc", "!!float x", "!!bool x", "!!timestamp x", "!!binary x", "!!set {a}", "!!omap 7", "!mine x"
    ),
    "python": _tokens("!!python/object/apply:os.system [id]", "!!python/name:os.system x", "!!python/tuple [1]"),
    "digits": _tokens("9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "1:" * 2000 + "1", "9" * 30),
    "not finite": _tokens(".nan", ".inf", "-.inf", ".NaN", "1.0e+999", "9" * 400 + ".0"),
    "number": _number,
    "type": _type,
    "section": _section,
    "required": _required,
    "unknown key": _unknown_key,
    "name": _name,
    "long": _long,
    "lines": _lines,
    "escape": _escape,
    "raw escape": _raw_escape,
    "repeated": _repeated,
    "nested": _nested,
    "aliases": _aliases,
    "anchors": _anchors,
    "broken": _broken,
    "bytes": _bytes,
}

CLIENT, HEADLESS = ("client",), "headless"
OUTLIER = {"interval": "1s"}


def _merge(data: Any, **changes: Any) -> Any:
    """The strategy with sections changed key by key."""
    copy = yaml.safe_load(_dump(data))
    for section, change in changes.items():
        copy[section] = {**copy.get(section, {}), **change} if isinstance(change, dict) else change
    return copy


TARGETS = ("sidecar", "gateway", "lookaside", "xds", "mesh", "nowhere")
CONTRADICTIONS: list[tuple[str, dict[str, Any]]] = [
    *(("headless", {"client": {"target": target}}) for target in TARGETS),
    ("envoy", {"envoy": {"client": "no-such-file.yaml"}}),
    ("envoy", {"envoy": {"server": "../../../etc/passwd"}}),
    ("envoy", {"envoy": {"client": "sidecar.yaml\n"}}),
    ("envoy", {"envoy": {"lbPolicy": "ROUNDROBIN"}}),
    ("envoy", {"client": {"target": "headless"}}),
    ("gateway", {"gateway": {"config": "no-such-file.yaml"}}),
    ("gateway", {"gateway": {"config": "gateway-nginx.conf"}}),
    ("gateway", {"client": {"target": "service"}}),
    ("lookaside", {"controlPlane": "xds"}),
    ("lookaside", {"client": {"channel": "round_robin"}}),
    ("xds", {"client": {"channel": "pick_first"}}),
    ("headless", {"client": {"channel": "xds"}}),
    ("headless", {"client": {"keys": {"header": "x-bin", "count": 5}}}),
    ("headless", {"client": {"keys": {"header": "grpc-timeout", "count": 5}}}),
    ("headless", {"client": {"keys": {"header": "content-type", "count": 5}}}),
    ("headless", {"client": {"keys": {"header": "X-User", "count": 5}}}),
    ("headless", {"client": {"keys": {"header": "x-user\n", "count": 5}}}),
    ("headless", {"client": {"channel": "pick_first", "outlierDetection": OUTLIER}}),
    ("headless", {"client": {"outlierDetection": {"interval": "1.2.3s"}}}),
    ("headless", {"client": {"pool": {"connectionsPerAddress": 2}}}),
    ("headless", {"client": {"serviceConfig": {"LoadBalancingConfig": [{"round_robin": {}}]}}}),
    ("headless", {"client": {"serviceConfig": {"loadBalancingConfig": [{"weighted_round_robin": {}}]}}}),
    ("headless", {"client": {"serviceConfig": {"loadBalancingPolicy": "round_robin"}}}),
    ("headless", {"client": {"serviceConfig": {"methodConfig": [{"name": [{}], "Timeout": "1s"}]}}}),
    ("headless", {"client": {"serviceConfig": {"methodConfig": [{"name": [{}], "timeout": 5}]}}}),
    ("headless", {"strategy": {"expect": {"steady": "weighted"}}}),
    ("headless", {"strategy": {"expect": {"steady": "hashed"}}}),
    ("headless", {"strategy": {"expect": {"kill": "even"}}}),
    ("headless", {"strategy": {"replicas": 1_000_000}}),
    ("headless", {"strategy": {"replicas": 500}}),
    ("headless", {"strategy": {"clusters": []}}),
    ("headless", {"load": {"clients": 1_000_000}}),
    ("headless", {"load": {"connections": 1_000_000}}),
    ("headless", {"load": {"concurrency": 1_000_000}}),
    ("headless", {"replicas": 1_000_000}),
    ("headless", {"port": 15001}),
    ("istio", {"strategy": {"clusters": ["local"]}}),
]  # fmt: skip

EVENTS: list[dict[str, Any]] = [
    {"after_s": 0, "do": "fail", "which": "first", "code": "UNAVAILABEL"},
    {"after_s": 0, "do": "fail", "which": "first", "code": "OK"},
    {"after_s": 0, "do": "fail", "which": "first", "code": "UNAVAILABLE\n"},
    {"after_s": 0, "do": "fail", "which": "first", "code": 14},
    {"after_s": 0, "do": "explode"},
    {"after_s": 0, "do": "kill"},
    {"after_s": 0, "do": "kill", "which": 0},
    {"after_s": 0, "do": "kill", "which": 300},
    {"after_s": 0, "do": "kill", "which": "first", "code": "UNAVAILABLE"},
    {"after_s": 0, "do": "scale", "by": 0},
    {"after_s": 0, "do": "scale", "by": 1_000_000},
    {"after_s": 0, "do": "scale", "by": 500},
    {"after_s": 0, "do": "slow", "which": "first", "delay_ms": 10**9},
    {"after_s": 0, "do": "stop", "which": "first", "for_s": 10**6},
    {"after_s": 500, "do": "kill", "which": "first"},
    {"after_s": 10**6, "do": "kill", "which": "first"},
    {"after_s": -1, "do": "kill", "which": "first"},
]
SCENARIO_PARTS: list[dict[str, Any]] = [
    {"load": {"duration_s": 10**6}},
    {"load": {"needs_s": 599}},
    {"load": {"rate_rps": 10**8}},
    {"load": {"rate_rps": 0}},
    {"load": {"deadline_s": 10**8}},
    {"scenario": {"phase": {"from_s": 9, "to_s": 4}}},
    {"scenario": {"phase": {"from_s": 4, "to_s": 590}}},
    {"expect": {"headless": {"class": "evn", "share": "any", "errors": "any"}}},
    {"expect": {"headless": {"class": "even", "share": -1, "errors": "any"}}},
    {"expect": {"headless": {"class": "even", "share": "some", "errors": "any"}}},
    {"expect": {"head\nless": {"class": "even", "share": "any", "errors": "any"}}},
    {"refuse": {"dns": "x"}},
    {"remedies": ["headless", "nobody"]},
    {"remedies": ["headless"]},
    {"events": []},
]


def _files(draw: random.Random) -> Iterator[Input]:
    """One strategy or scenario file after the other, the kinds in turn."""
    while True:
        for kind, change in ANY_FILE.items():
            of_strategies = draw.random() < 0.6
            name, data = draw.choice(list((STRATEGIES if of_strategies else SCENARIOS).items()))
            data = _with(data, (next(iter(data)), "name"), "mine")
            content = change(data, draw)
            content = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
            yield Input(f"{kind}, of {name}", "mine.yaml", "mine.yaml", content, raw=_asks(of_strategies))


def _asks(of_strategies: bool) -> dict[str, Any]:
    if of_strategies:
        return {"lab_strategies_dir": "FOLDER", "lab_strategy": "mine"}
    return {"lab_scenarios_dir": "FOLDER", "lab_scenario": "mine"}


def _contradictory(draw: random.Random) -> Iterator[Input]:
    """Every contradiction once."""
    for of, changes in CONTRADICTIONS:
        data = _merge(_with(STRATEGIES[of], ("strategy", "name"), "mine"), **changes)
        asks = _asks(True) | ({"lab_cluster": "kind"} if of == "istio" else {})
        names = "mine"  # in the name of the file or of the strategy
        yield Input(f"contradiction, of {of}: {changes}", names, "mine.yaml", _dump(data).encode(), raw=asks)
    base = _with(SCENARIOS["kill"], ("scenario", "name"), "mine")
    for event in EVENTS:
        data = _with(base, ("events", 0), event)
        yield Input(f"event {event}", "mine", "mine.yaml", _dump(data).encode(), raw=_asks(False))
    for part in SCENARIO_PARTS:
        data = _merge(base, **part)
        yield Input(f"scenario {part}", "mine.yaml", "mine.yaml", _dump(data).encode(), raw=_asks(False))


def _special(draw: random.Random) -> Iterator[Input]:
    """Every kind of file that is none, wherever a file is asked for."""
    for special in SPECIAL:
        for asks in (_asks(True), _asks(False), {"lab_istio_values": "FILE"}):
            names = "lab_istio_values" if "lab_istio_values" in asks else "mine.yaml"
            yield Input(f"{special} for {next(iter(asks))}", names, "mine.yaml", special=special, raw=asks)
    for odd in ("Mine", "my file", "mine\n", "mi\x1bne", "-mine", "ä", ".hidden", "mine.yml", "x" * 60):
        data = _dump(STRATEGIES["headless"]).encode()
        asks = {"lab_strategies_dir": "FOLDER", "lab_strategy": odd}
        yield Input(f"name of a file {odd!r}", "strategy", f"{odd}.yaml", data, raw=asks)


# --- variables --------------------------------------------------------------------------------------------------------

NUMBERS = (
    "lab_replicas", "lab_requests", "lab_duration", "lab_rate", "lab_concurrency", "lab_clients", "lab_connections",
    "lab_seed", "lab_port",
)  # fmt: skip
NO_NUMBERS = (
    -1, "", " ", "ten", "1e99", "0x10", "1_000", "5\n",
    "\x1b[31m5", "5\u202e", "٥", True, False, [], [1], {}, {"a": [{}]},
    float("nan"), float("inf"), float("-inf"), 10**30, 10**400, 10**5000, "9" * 5000, "1,5", "5 5", "-0x1", "{{ 5 }}",
)  # fmt: skip
WORDS = ("lab_strategy", "lab_scenario", "lab_cluster", "lab_namespace", "lab_kind_node_image", "lab_istio_mtls",
         "lab_pitfall", "lab_istio_version", "lab_istio_charts")  # fmt: skip
NO_WORDS = (
    "", " ", "no such thing",
    "\x1b[2Jenvoy", "envoy\n", "envoy\u202e", "en\x00voy", "../envoy", "/etc/passwd", "-envoy", "x" * 5000, 7,
    1.5, True, [], ["envoy"], {"envoy": 1}, float("nan"), 10**5000, "\ud800", "{% raw %}",
)  # fmt: skip
FOLDERS = ("lab_artifacts_dir", "lab_state_dir", "lab_strategies_dir", "lab_scenarios_dir")
NO_FOLDERS = (
    "", " ", "a\x00b", "a\nb", "a\x1bb", "a\u202eb", "x" * 300, "a/" * 5000, "~nobody-of-this-name/x", "/dev/null",
    "/proc/version/x", 7, [],
    {}, True, float("nan"), 10**5000,
)  # fmt: skip
MAPS = (
    7, True, [], [{}], "", "nowhere.yaml", "/dev/zero", "/", "a\x00b", "x" * 5000, "~nobody-of-this-name/x",
    float("nan"),
    {"a": float("nan")}, {"a": {"b": [float("inf")]}}, {"a": 10**5000}, {1: 2},
    {"a": "\x1b[31m"}, {"\x1b": 1}, {"a": "x" * 20_000},
    {"a": [1] * 20_000}, "\ud800", 10**5000,
)  # fmt: skip
EXPECTATIONS = (
    "", " ", "evn", "\x1b[2Jeven", "e\x00ven", "even\u202e", "\ud800", "x" * 5000, "even\n---\neven", "[" * 5000,
    "{class: even, share: 10", "{class: even, class: even}", "class: 2020-13-45", "{class: even, share: .nan}",
    7, True, [], ["even"], {}, {"share": 10}, {"class": "evn"}, {"class": ["even"]}, {"class": {}},
    {"class": "even", "share": -1}, {"class": "even", "share": 601}, {"class": "even", "share": True},
    {"class": "even", "share": float("nan")}, {"class": "even", "share": 10**5000},
    {"class": "even", "errors": "None"}, {"class": "even", "errors": []}, {"class": "even", 1: 2},
    {"class": "even", "\x1b[2J": 1}, {"class": "even", "x" * 5000: 1}, {"class": "even", "share": "\u202e"},
    float("nan"), 10**5000,
)  # fmt: skip
DEEP: dict[str, Any] = {}
for _ in range(500):
    DEEP = {"a": DEEP}


def _shown(name: str) -> str:
    return name.removeprefix("lab_") if name in ("lab_strategy", "lab_scenario") else name


def _variables(draw: random.Random) -> Iterator[Input]:
    """One variable after the other, each with the wrong values in an order of its own."""
    orders: list[tuple[str, list[Any]]] = []
    for names, wrong in (
        (NUMBERS, NO_NUMBERS),
        (WORDS, NO_WORDS),
        (FOLDERS, NO_FOLDERS),
        (("lab_istio_values",), (*MAPS, DEEP)),
        (("lab_expect",), (*EXPECTATIONS, DEEP)),
    ):
        orders += [(name, draw.sample(wrong, len(wrong))) for name in names]
    for turn in range(max(len(values) for _, values in orders)):
        for name, values in orders:
            if turn < len(values):
                yield Input(f"{name}={_short(values[turn])}", f"{_shown(name)}=", raw={name: values[turn]})


def _short(value: Any) -> str:
    try:
        return repr(value)[:60]
    except (ValueError, RecursionError):
        return "a huge value"


def inputs(seed: int = 1, count: int = 400) -> list[Input]:
    """Return ``count`` malformed inputs: all contradictions and special files, then files and variables, half each."""
    draw = random.Random(seed)
    made = [*_contradictory(draw), *_special(draw)]
    files, variables = _files(draw), _variables(draw)
    while len(made) < count:
        made += [next(files), *itertools.islice(variables, 1)]
    return made[:count]


# --- checking ---------------------------------------------------------------------------------------------------------


def miss(wrong: Input, folder: Path) -> str:
    """Say how the lab's answer to an input misses what is promised; empty when it does not."""
    from grpc_lb_lab import settings

    raw = wrong.prepare(folder)
    try:
        settings.validate(raw, repo=REPO, answers=lambda _: False)
    except settings.UsageError as error:
        message = str(error)
    except MemoryError:
        return "ran out of memory"
    except Exception as error:
        return f"raised {type(error).__name__}: {error!s:.200}"
    else:
        return "was accepted"
    return fault(wrong, message, folder)


def fault(wrong: Input, message: str, folder: Path) -> str:
    """Say how the message about an input misses what is promised; empty when it does not."""
    lines = message.split("\n")
    if not all(line.isprintable() for line in lines):
        return f"unprintable: {message!r:.300}"
    if len(lines) > MOST_LINES:
        return f"{len(lines)} lines: {message[:600]}"
    # The names that exist are all told; what a user wrote is cut.
    told = [line.replace(str(folder), "") for line in lines]
    if any(len(line) > MOST_CHARACTERS or len(line.partition("llowed")[0]) > MOST_BEFORE for line in told):
        return f"a line that is too long: {message[:600]}"
    if wrong.names not in message:
        return f"does not name {wrong.names}: {message[:300]}"
    return "" if all("llowed" in line for line in lines) else f"does not say what is allowed: {message[:300]}"


def _work(pipe: Any, folder: Path, seed: int, count: int, first: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for index, wrong in enumerate(inputs(seed, count)[first:], start=first):
        pipe.send((index, None))
        place = folder / f"{first}-{index}"
        place.mkdir()
        pipe.send((index, miss(wrong, place)))


def run(folder: Path, seed: int = 1, count: int = 400) -> dict[str, str]:
    """Check all inputs; returns those that miss the promise, and how. One that hangs or kills is one of them."""
    made = inputs(seed, count)
    missed: dict[str, str] = {}
    first = 0
    while first < len(made):
        near, far = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("spawn").Process(target=_work, args=(far, folder, seed, count, first))
        worker.start()
        far.close()
        index, answer = first, None
        try:
            while near.poll(LIMIT_S if index > first or answer == "" else 60):
                index, answer = near.recv()
                if answer:
                    missed[f"{index} {made[index].kind}"] = answer
                if answer is None:
                    began = time.monotonic()
        except EOFError:
            if answer is None:
                missed[f"{index} {made[index].kind}"] = f"killed its process after {time.monotonic() - began:.1f} s"
        else:
            missed[f"{index} {made[index].kind}"] = f"no answer within {LIMIT_S} s"
            worker.kill()
        worker.join()
        near.close()
        first = index + 1
    return missed
