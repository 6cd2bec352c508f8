"""``lb-lab kubernetes …``: what the roles for kind and existing clusters call. Each prints one JSON line last."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.ports import ADMIN_PORT, CONTROL_PLANE_PORTS, ECHO_PORT, SIDECAR_PORT
from grpc_lb_lab.places.kubernetes import providers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
    from grpc_lb_lab.places.kubernetes.install_state import Place
    from grpc_lb_lab.places.kubernetes.providers import Wanted

DEFAULT_STATE = ".lab"


def add_parsers(subparsers: Any) -> None:
    """Add ``kubernetes`` and its commands to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    kubernetes = subparsers.add_parser(
        "kubernetes",
        help="the lab on a Kubernetes cluster",
        description="Make room for the lab on a Kubernetes cluster, follow its load, collect what it leaves.",
    )
    commands = kubernetes.add_subparsers(dest="kubernetes_command", required=True, metavar="COMMAND")
    tools = _add(commands, "tools", "tell which programs are missing or too old", _tools)
    tools.add_argument("names", nargs="+", metavar="PROGRAM", help="kind, kubectl, helm")
    _add_cluster(commands)
    _add_image(commands)
    _add_room(commands)
    wait = _add_client(commands, "wait", "wait until all servers are in service", _wait)
    wait.add_argument("--replicas", type=int, required=True, metavar="N")
    wait.add_argument("--port", type=int, default=ECHO_PORT)
    wait.add_argument("--limit", type=float, default=120.0, metavar="SECONDS")
    wait.add_argument("--gateway", metavar="HOST[:PORT]", help="there is one; empty: at its node's address and port")
    mesh = _add_client(commands, "istio", "look for Istio; make room for the lab's where there is none", _istio)
    mesh.add_argument("--version", required=True, metavar="X.Y.Z", help="the one that would be installed")
    mesh.add_argument("--charts", required=True, metavar="URL", help="where from, or a folder")
    mesh.add_argument("--values", default="{}", metavar="JSON", help="values of its chart")
    _add_load(commands)
    collect = _add_client(commands, "collect", "keep events, descriptions and logs", _collect)
    collect.add_argument("--logs", type=Path, required=True, metavar="DIR")
    reset = _add_client(commands, "reset", "remove the releases, and the namespaces that the lab made", _reset)
    _add_reach(reset)


def _add_cluster(commands: Any) -> None:
    up = _add(commands, "up", "have a cluster", _up)
    _add_provider(up)
    up.add_argument("--node-image", default="", metavar="REFERENCE", help="what a new cluster is made from")
    up.add_argument("--proxy-mode", default="iptables", choices=("iptables", "nftables", "ipvs"))
    up.add_argument("--pods", type=int, default=6, metavar="N", help="for how many pods there must be memory")
    up.add_argument("--logs", type=Path, required=True, metavar="DIR", help="for the provider's logs when it fails")
    up.add_argument("--kubeconfig", default="", metavar="FILE", help="of an existing cluster (kubectl's own)")
    up.add_argument("--context", default="", metavar="NAME", help="of an existing cluster (the current one)")
    down = _add(commands, "down", "remove what the lab made: a cluster, or what is in one", _down)
    _add_provider(down)
    down.add_argument("--kubeconfig", default="", metavar="FILE", help="of an existing cluster (kubectl's own)")
    down.add_argument("--context", default="", metavar="NAME", help="of an existing cluster (the current one)")
    down.add_argument("--namespace", default="", metavar="NAME", help="in an existing cluster")
    _add_reach(down)


def _add_provider(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--provider", default="kind", choices=providers.names(), help="(kind)")
    parser.add_argument("--name", default="grpc-lb-lab", help="of a cluster that the lab makes (grpc-lb-lab)")


def _add_reach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--here", action="store_true", help="only here, not wherever this checkout installed something")
    parser.add_argument("--forget", action="store_true", help="do not note any more what could not be reached")


def _add_room(commands: Any) -> None:
    """Add ``check`` and ``prepare``, which are told the same."""
    check = _add_client(commands, "check", "check cluster, rights and namespace; change nothing", _check)
    prepare = _add_client(commands, "prepare", "check the same, have the namespace, clear old releases", _prepare)
    for parser in (check, prepare):
        parser.add_argument("--strategy", required=True, metavar="NAME", help="servers of another one are removed")
        parser.add_argument(
            "--images", nargs="+", required=True, metavar="REFERENCE", help="servers of others are removed"
        )
        parser.add_argument(
            "--fresh", action="store_true", help="remove the servers also when they are the wanted ones"
        )
        parser.add_argument("--control-plane", action="store_true", help="check the rights to install one too")
        parser.add_argument("--mesh", type=json.loads, default={}, metavar="JSON", help="the strategy's `mesh`")
        parser.add_argument("--target", default="", metavar="WORD", help="the strategy's client.target")
        parser.add_argument("--course", type=json.loads, default=None, metavar="JSON", help="what the scenario does")


def _add_image(commands: Any) -> None:
    image = _add(commands, "image", "build the lab's image unless it is there, and copy images into a cluster", _image)
    image.add_argument("--repo", type=_path, required=True, metavar="DIR", help="the lab's checkout")
    image.add_argument("--base", default="python:3.13-slim", metavar="REFERENCE")
    image.add_argument("--python", default="3.13", metavar="X.Y", help="the base's Python")
    image.add_argument("--provider", default="kind", choices=providers.names(), help="of the cluster (kind)")
    image.add_argument("--name", default="", help="copy the images into this cluster")
    image.add_argument("--also", action="append", default=[], metavar="REFERENCE", help="another image to copy")
    image.add_argument("--push", default="", metavar="REFERENCE", help="push the image under this name")


def _add_load(commands: Any) -> None:
    load = _add_client(commands, "load", "follow the load and collect its results", _load)
    load.add_argument("--plan", type=Path, required=True, metavar="FILE", help="plan.json")
    load.add_argument("--results", type=Path, required=True, metavar="DIR", help="for client-N.json")
    load.add_argument("--inventory", type=Path, required=True, metavar="FILE", help="inventory.json, written")
    load.add_argument("--logs", type=Path, required=True, metavar="DIR")
    load.add_argument("--cluster", default="kind", choices=providers.names())
    load.add_argument(
        "--image", action="append", default=[], metavar="KIND=REFERENCE", help="of a proxy, for the report's versions"
    )
    load.add_argument("--limit", type=float, default=900.0, metavar="SECONDS")
    load.add_argument("--watch-pid", type=int, default=0, metavar="PID", help="end the load when this process ends")


def _path(text: str) -> Path:
    return Path(text).absolute()


def _add(
    commands: Any, name: str, text: str, handler: Callable[[argparse.Namespace], dict[str, Any]]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--state", type=_path, default=_path(DEFAULT_STATE), metavar="DIR", help=f"({DEFAULT_STATE})")
    parser.set_defaults(handler=lambda arguments: _answer(handler, arguments))
    return parser


def _add_client(
    commands: Any, name: str, text: str, handler: Callable[[argparse.Namespace], dict[str, Any]]
) -> argparse.ArgumentParser:
    parser = _add(commands, name, text, handler)
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="(kubectl's own)")
    parser.add_argument("--context", default="", metavar="NAME", help="(the current one)")
    parser.add_argument("--namespace", required=True, metavar="NAME")
    return parser


def _answer(handler: Callable[[argparse.Namespace], dict[str, Any]], arguments: argparse.Namespace) -> int:
    from grpc_lb_lab.places.kubernetes.cluster import tools

    tools.use(arguments.state)
    print(json.dumps(handler(arguments)))
    return 0


def _kubectl(arguments: argparse.Namespace) -> Kubectl:
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

    return Kubectl(arguments.namespace, arguments.kubeconfig, arguments.context)


def _tools(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.own.state import claim_root
    from grpc_lb_lab.places.kubernetes.cluster import tools

    missing = tools.look(arguments.names)
    if missing:  # and will be downloaded into it
        claim_root(arguments.state)
    return {"changed": False, "missing": missing, **tools.platform_words()}


def _wanted(arguments: argparse.Namespace) -> Wanted:
    """Return the cluster that the command is about, with what it was told of it."""
    from dataclasses import fields

    from grpc_lb_lab.places.kubernetes.providers import Wanted

    told = vars(arguments)
    return Wanted(**{field.name: told[field.name] for field in fields(Wanted) if field.name in told})


def _up(arguments: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(providers.get(arguments.provider).up(_wanted(arguments)))


def _down(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"changed": providers.get(arguments.provider).down(_wanted(arguments))}


def _image(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.places.kubernetes.cluster import image

    recipe = image.Recipe(arguments.repo, arguments.state, arguments.base, arguments.python, image.architecture())
    reference = recipe.reference
    changed = image.build(recipe)
    if arguments.push:
        reference = image.push(reference, arguments.push)
        changed = True
    if arguments.name:
        loaded = providers.get(arguments.provider).load_images(_wanted(arguments), [reference, *arguments.also])
        changed = bool(loaded) or changed
    return {"changed": changed, "reference": reference}


def _is_labs_own(arguments: argparse.Namespace) -> bool:
    """Tell whether the cluster is the lab's kind cluster, whose kubeconfig is kept in the state."""
    return bool(arguments.kubeconfig) and Path(arguments.kubeconfig).is_relative_to(arguments.state)


def _place(arguments: argparse.Namespace) -> Place:
    """Return the place with all that is known without asking the cluster."""
    from grpc_lb_lab.places.kubernetes import install_state

    return install_state.find(_wanted(arguments))


def _checked(arguments: argparse.Namespace) -> Place:
    """Return the place when the lab can work there; nothing is made."""
    from grpc_lb_lab.model.data import from_dict
    from grpc_lb_lab.model.scenario import ScenarioPlan
    from grpc_lb_lab.places.kubernetes import namespace
    from grpc_lb_lab.places.kubernetes.cluster.programs import say
    from grpc_lb_lab.places.kubernetes.injector import asks_servers
    from grpc_lb_lab.places.kubernetes.place import OUTSIDE

    place = _place(arguments)
    if not _is_labs_own(arguments):
        say(f"kubeconfig context {place.context}, namespace {place.namespace}")
    namespace.check_answers(place.kubectl, place.server)
    course = from_dict(ScenarioPlan, arguments.course) if arguments.course else None
    rights = namespace.needed_rights(
        control_plane=arguments.control_plane,
        mesh=bool(arguments.mesh),
        forward=arguments.target in OUTSIDE or bool(course and asks_servers(course)),
    )
    namespace.check(place.kubectl, rights)
    return place


def _check(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"changed": False, "context": _checked(arguments).context}


def _prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.places.kubernetes import gateway, install_state, namespace
    from grpc_lb_lab.places.kubernetes.cluster import istio

    place = _checked(arguments)
    kubectl = place.kubectl
    _remember(arguments, place)
    proxy = arguments.mesh.get("proxy", "")
    created = namespace.ensure(kubectl, proxy)
    # The mesh's settings too: servers start anew with each, so no sidecar keeps anything of the ones before.
    digest = install_state.chart_digest([*arguments.images, json.dumps(arguments.mesh, sort_keys=True)])
    injected = istio.check_injection(kubectl, proxy) if proxy else ""
    wanted = None if arguments.fresh else namespace.Wanted(arguments.strategy, digest)
    removed = namespace.clear(kubectl, wanted)
    if "echo" not in removed:
        gateway.close(kubectl)  # a load that was killed left it open
    # Removing the previous load is part of every run, so it is no change of the lab's state.
    return {"changed": created or "echo" in removed, "digest": digest, "istio_proxy": injected}


def _remember(arguments: argparse.Namespace, place: Place) -> None:
    """Note the place, now that something will be made there. The lab's own cluster is removed as a whole."""
    from grpc_lb_lab.places.kubernetes import install_state, namespace

    if not _is_labs_own(arguments):
        install_state.remember(arguments.state, replace(place, uid=namespace.cluster_uid(place.kubectl)))


def _istio(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.places.kubernetes import install_state
    from grpc_lb_lab.places.kubernetes.cluster import istio

    place = _place(arguments)
    digest = install_state.digest(arguments.version, arguments.charts, arguments.values)
    found = istio.have_room(
        place.kubectl.in_namespace(istio.NAMESPACE), arguments.version, digest, lambda: _remember(arguments, place)
    )
    return {"changed": found.install, "install": found.install, "owner": found.owner, "digest": digest}


def _wait(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.places.kubernetes import forward, gateway, pods, rollout

    kubectl = _kubectl(arguments)
    servers = rollout.wait(kubectl, arguments.replicas, arguments.limit)
    edge = {} if arguments.gateway is None else {"gateway": gateway.address(kubectl, arguments.gateway)}
    targets = {
        "endpoints": ",".join(sorted(f"{pods.replica(pod).ip}:{arguments.port}" for pod in servers)),
        "service": f"echo:{arguments.port}",
        "headless": f"echo-headless:{arguments.port}",
        "sidecar": f"127.0.0.1:{SIDECAR_PORT}",
        "sidecar_admin": f"127.0.0.1:{ADMIN_PORT}",
        "port-forward": f"127.0.0.1:{forward.free_port()}",
        **{name: f"{name}:{port}" for name, port in CONTROL_PLANE_PORTS.items()},
        "mesh": f"echo.{kubectl.namespace}.svc.cluster.local:{arguments.port}",
        **edge,
    }
    return {"changed": False, "targets": targets, "dns": ""}


def _load(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.model import live_feed
    from grpc_lb_lab.places.kubernetes import place

    place.run(
        _kubectl(arguments),
        place.Files(
            arguments.plan, arguments.results, arguments.inventory, arguments.logs, arguments.state / live_feed.FILE
        ),
        cluster=arguments.cluster,
        images=dict(item.split("=", 1) for item in arguments.image if "=" in item),
        limit_s=arguments.limit,
        owner=arguments.watch_pid,
    )
    return {"changed": True}


def _collect(arguments: argparse.Namespace) -> dict[str, Any]:
    from grpc_lb_lab.places.kubernetes import collect

    return {"changed": False, "files": collect.collect(_kubectl(arguments), arguments.logs)}


def _reset(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"changed": providers.get("existing").down(_wanted(arguments))}
