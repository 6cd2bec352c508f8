"""What the rendered objects must be, beyond being the same as yesterday."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import chart_render
import kubernetes_validate
import pytest
import yaml
from grpc_lb_lab import fault_token
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.scenario import Expectation, PlannedEvent, ScenarioPlan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.kubernetes.faults import SECRET
from grpc_lb_lab.servers.faults import FOR_MOST_MS

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
STRATEGIES = chart_render.strategies()
CASES = [(name, part) for name, strategy in STRATEGIES.items() for part in chart_render.parts(strategy)]


def one(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    found = [item for item in objects if item["kind"] == kind and name in ("", item["metadata"]["name"])]
    assert len(found) == 1
    return found[0]


def pod_specs(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        item["spec"] if item["kind"] == "Pod" else item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] in ("Pod", "Deployment", "Job")
    ]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "part"), CASES)
def test_strictly_valid(name: str, part: str, version: str) -> None:
    objects = chart_render.objects(STRATEGIES[name], part)
    # Istio's own kinds are no part of Kubernetes' schemas; test_chart_mesh.py looks at them.
    objects = [item for item in objects if "istio.io/" not in item["apiVersion"]]
    assert objects
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_validation_notices_a_misspelt_field(version: str) -> None:
    job = one(chart_render.objects(STRATEGIES["envoy"], "load"), "Job")
    job["spec"]["backOffLimit"] = job["spec"].pop("backoffLimit")
    with pytest.raises(kubernetes_validate.ValidationError, match="backOffLimit"):
        kubernetes_validate.validate(job, version, strict=True)


def unrestricted(spec: dict[str, Any]) -> list[str]:
    """What Pod Security "restricted" (kubernetes.io/docs/concepts/security/pod-security-standards) would refuse."""
    problems = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    pod = spec.get("securityContext", {})
    problems += [] if pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0 else ["may be root"]
    problems += [] if pod.get("seccompProfile", {}).get("type") == "RuntimeDefault" else ["no seccomp profile"]
    problems += [volume["name"] for volume in spec.get("volumes", []) if not set(volume) & {"configMap", "emptyDir"}]
    for container in containers(spec):
        context = container.get("securityContext", {})
        problems += [] if context.get("allowPrivilegeEscalation") is False else ["may escalate"]
        problems += [] if context.get("capabilities") == {"drop": ["ALL"]} else ["has capabilities"]
        problems += [] if context.get("readOnlyRootFilesystem") is True else ["writable root"]
    return problems


@pytest.mark.parametrize(("name", "part"), CASES)
def test_every_pod_is_restricted_and_modest(name: str, part: str) -> None:
    specs = pod_specs(chart_render.objects(STRATEGIES[name], part))
    assert specs
    for spec in specs:
        assert unrestricted(spec) == []
        plane = STRATEGIES[name].get("controlPlane", "")
        assert spec["serviceAccountName"] in ("echo", "load", plane)
        assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] == plane)
        for container in containers(spec):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda spec: spec["securityContext"].pop("runAsNonRoot"), "may be root"),
        (lambda spec: spec["securityContext"].pop("seccompProfile"), "no seccomp profile"),
        (lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"), "has capabilities"),
        (lambda spec: spec["initContainers"][0].pop("securityContext"), "may escalate"),
        (lambda spec: spec.update(hostNetwork=True), "hostNetwork"),
        (lambda spec: spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "host"),
    ],
)
def test_the_restricted_check_can_fail(change: Any, problem: str) -> None:
    spec = copy.deepcopy(pod_specs(chart_render.objects(STRATEGIES["envoy"], "load"))[0])
    change(spec)
    assert problem in unrestricted(spec)


@pytest.mark.parametrize(("name", "part"), CASES)
def test_no_object_names_a_namespace_and_all_are_labelled(name: str, part: str) -> None:
    for item in chart_render.objects(STRATEGIES[name], part):
        assert "namespace" not in item["metadata"]
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "grpc-lb-lab"
        assert labels["app.kubernetes.io/instance"] == chart_render.RELEASES[part]
        assert labels["grpc-lb-lab/strategy"] == name


def test_both_services_lead_to_the_servers_by_one_port() -> None:
    objects = chart_render.objects(STRATEGIES["service"], "servers", port=50099)
    pod = one(objects, "Deployment")["spec"]["template"]
    for name, cluster_ip in (("echo", None), ("echo-headless", "None")):
        service = one(objects, "Service", name)["spec"]
        assert service.get("clusterIP") == cluster_ip
        assert service["selector"].items() <= pod["metadata"]["labels"].items()
        assert service["ports"] == [{"name": "grpc", "port": 50099, "targetPort": "grpc", "appProtocol": "grpc"}]
    container = pod["spec"]["containers"][0]
    assert "--listen=0.0.0.0:50099" in container["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": 50099}
    assert pod["spec"]["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"]


def test_a_server_that_shall_not_wait_has_no_hook() -> None:
    deployment = one(chart_render.objects(STRATEGIES["service"], "servers", drain={"preStopS": 0}), "Deployment")
    assert "lifecycle" not in deployment["spec"]["template"]["spec"]["containers"][0]


def test_servers_can_signal_themselves_and_no_fault_gets_one_restarted() -> None:
    pod = one(chart_render.objects(STRATEGIES["service"], "servers"), "Deployment")["spec"]["template"]["spec"]
    assert pod["shareProcessNamespace"] is True  # PID 1 is immune
    liveness = pod["containers"][0]["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] * 1000 > FOR_MOST_MS


def test_the_helm_test_pod_gets_no_calls_of_the_service() -> None:
    objects = chart_render.objects(STRATEGIES["service"], "servers")
    selector = one(objects, "Service", "echo")["spec"]["selector"]
    assert not selector.items() <= one(objects, "Pod")["metadata"]["labels"].items()


def test_server_arguments_come_from_the_strategy() -> None:
    plain = one(chart_render.objects(STRATEGIES["service"], "servers"), "Deployment")
    assert plain["spec"]["template"]["spec"]["containers"][0]["args"][1:] == [
        "--listen=0.0.0.0:50051",
        "--drain-delay-s=0",
        "--metrics=0.0.0.0:9464",
    ]
    server = {"keepalive": {"minIntervalMs": 5000000, "permitWithoutCalls": True}, "maxConnectionAgeMs": 30000000}
    aged = one(chart_render.objects({**STRATEGIES["service"], "server": server}, "servers"), "Deployment")
    assert aged["spec"]["template"]["spec"]["containers"][0]["args"][4:] == [
        "--keepalive-min-interval-ms=5000000",
        "--keepalive-permit-without-calls",
        "--max-connection-age-ms=30000000",
    ]


def test_prometheus_finds_servers_and_clients_at_a_named_port_that_is_free() -> None:
    for port, own in ((50051, 9464), (9464, 9465)):
        values = {**STRATEGIES["headless"], "port": port}
        for part, kind in (("servers", "Deployment"), ("load", "Job")):
            plan = {"plan": load_plan()} if part == "load" else {}
            template = one(chart_render.objects(values, part, **plan), kind)["spec"]["template"]
            container = template["spec"]["containers"][0]
            assert f"--metrics=0.0.0.0:{own}" in container["args"]
            assert {"name": "metrics", "containerPort": own} in container["ports"]
            told = template["metadata"]["annotations"]
            assert (told["prometheus.io/scrape"], told["prometheus.io/port"]) == ("true", str(own))


def load_plan(**load: Any) -> dict[str, Any]:
    targets = {"service": "echo:50051", "headless": "echo-headless:50051"}
    return {"run": "r1", "scenario": "steady", "load": load, "targets": targets, "dns": ""}


@pytest.mark.parametrize("name", [name for name, part in CASES if part == "load"])
@pytest.mark.parametrize(
    "load",
    [
        Load(requests=2003, clients=4, replicas=7),
        Load(requests=None, duration_s=10_000_000.5, rate_rps=12.5, connections=3),
    ],
)
def test_plan_is_the_same_as_a_local_one(name: str, load: Load) -> None:
    plan = load_plan(**to_dict(load))
    objects = chart_render.objects(STRATEGIES[name], "load", plan=plan)
    rendered = json.loads(one(objects, "ConfigMap", "load-plan")["data"]["plan.json"])
    # How the servers leave is none of the client's business.
    strategy = {key: value for key, value in STRATEGIES[name].items() if key != "drain"}
    wanted = Plan(**{**plan, "load": load}, strategy=Strategy.parse(strategy))
    # Chart defaults fill targets up; the client only looks at those that its strategy names.
    assert plan["targets"].items() <= rendered["targets"].items()
    # What only one world or some scenarios have is not written where it is the default (other containers' processes are
    # nothing that a client could see).
    assert {**rendered, "targets": plan["targets"], "course": None, "processes": {}} == to_dict(wanted)
    assert from_dict(Plan, rendered).load == load


def test_plan_of_a_scenario_says_what_happens_when() -> None:
    events = [PlannedEvent(at_s=5.25, do="scale", by=2), PlannedEvent(at_s=9, do="slow", which="first", delay_ms=50)]
    course = ScenarioPlan("scale-up", "More", "More of them.", 5.25, events, Expectation("even", "within", 6))
    plan = {**load_plan(), "scenario": "scale-up", "course": to_dict(course)}
    objects = chart_render.objects(STRATEGIES["service"], "load", plan=plan)
    rendered = json.loads(one(objects, "ConfigMap", "load-plan")["data"]["plan.json"])
    assert from_dict(Plan, rendered).course == course


def test_job_runs_each_client_once() -> None:
    job = one(chart_render.objects(STRATEGIES["service"], "load", plan=load_plan(clients=4)), "Job")["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"], job["backoffLimit"]) == ("Indexed", 4, 4, 0)
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert [item["name"] for item in job["template"]["spec"]["initContainers"]] == ["names"]


def test_names_are_waited_for_before_anything_resolves_them() -> None:
    spec = one(chart_render.objects(STRATEGIES["envoy"], "load"), "Job")["spec"]["template"]["spec"]
    assert [item["name"] for item in spec["initContainers"]] == ["names", "envoy"]
    assert spec["initContainers"][0]["args"] == ["echo:50051", "echo-headless:50051"]


def test_envoy_is_a_native_sidecar_with_the_file_of_the_strategy() -> None:
    strategy = {**STRATEGIES["envoy"], "envoy": {"client": "sidecar.yaml", "lbPolicy": "RANDOM"}}
    objects = chart_render.objects(strategy, "load", port=50099)
    sidecar = one(objects, "Job")["spec"]["template"]["spec"]["initContainers"][1]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}
    config = one(objects, "ConfigMap", "load-envoy")["data"]["envoy.yaml"]
    assert "${" not in config
    assert "lb_policy: RANDOM" in config
    assert "port_value: 50099" in config
    assert "{address: 0.0.0.0, port_value: 9901}" in config, "a kubelet probe cannot reach 127.0.0.1"


def test_pull_secrets_and_images_reach_every_pod() -> None:
    images = {"app": "registry.example:5000/lab:1", "envoy": "registry.example:5000/envoy:1", "pullSecrets": ["a", "b"]}
    for part in ("servers", "load"):
        for spec in pod_specs(chart_render.objects(STRATEGIES["envoy"], part, images=images)):
            assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
            assert {container["image"] for container in containers(spec)} <= {images["app"], images["envoy"]}


PLANES = {"lookaside": 50052, "xds": 50053}


@pytest.mark.parametrize(("plane", "port"), PLANES.items())
def test_a_control_plane_may_watch_endpointslices_and_nothing_else(plane: str, port: int) -> None:
    objects = chart_render.objects(STRATEGIES[plane], "servers")
    role, binding = one(objects, "Role"), one(objects, "RoleBinding")
    slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    assert role["rules"] == [slices]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": plane}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": plane, "namespace": "grpc-lb-lab"}]
    assert one(objects, "ServiceAccount", plane)
    deployment = one(objects, "Deployment", plane)["spec"]["template"]
    container = deployment["spec"]["containers"][0]
    assert container["args"] == [plane, f"--listen=0.0.0.0:{port}", "--kubernetes-namespace=grpc-lb-lab"]
    assert {container[f"{probe}Probe"]["grpc"]["port"] for probe in ("startup", "readiness", "liveness")} == {port}
    service = one(objects, "Service", plane)["spec"]
    assert service["selector"].items() <= deployment["metadata"]["labels"].items()
    assert [item["port"] for item in service["ports"]] == [port]


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in PLANES])
def test_nobody_else_gets_a_role(name: str) -> None:
    for part in chart_render.parts(STRATEGIES[name]):
        assert not {"Role", "RoleBinding"} & {item["kind"] for item in chart_render.objects(STRATEGIES[name], part)}


@pytest.mark.parametrize("name", ["gateway", "gateway-nginx", "gateway-haproxy", *PLANES])
def test_what_stands_beside_the_servers_gets_no_calls_of_theirs(name: str) -> None:
    objects = chart_render.objects(STRATEGIES[name], "servers")
    selectors = [one(objects, "Service", service)["spec"]["selector"] for service in ("echo", "echo-headless")]
    selectors.append(one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"])
    beside = one(objects, "Deployment", name if name in PLANES else "gateway")["spec"]["template"]["metadata"]["labels"]
    assert not any(selector.items() <= beside.items() for selector in selectors)
    servers = one(objects, "Deployment", "echo")["spec"]["template"]["metadata"]["labels"]
    assert all(selector.items() <= servers.items() for selector in selectors)


@pytest.mark.parametrize(
    ("name", "program", "line"),
    [
        ("gateway", "envoy", "address: echo-headless.grpc-lb-lab.svc.cluster.local, port_value: 50099"),
        ("gateway-nginx", "nginx", "server echo-headless.grpc-lb-lab.svc.cluster.local:50099 resolve;"),
        ("gateway-haproxy", "haproxy", "replica 1-250 echo-headless.grpc-lb-lab.svc.cluster.local:50099 proto h2"),
    ],
)
def test_a_gateway_is_reached_from_outside_and_knows_the_replicas(name: str, program: str, line: str) -> None:
    images = {"nginx": "mirror/nginx:1", "haproxy": "mirror/haproxy:1", "envoy": "mirror/envoy:1"}
    objects = chart_render.objects(STRATEGIES[name], "servers", port=50099, images=images)
    config = one(objects, "ConfigMap", "gateway")["data"]
    assert list(config) == [STRATEGIES[name]["gateway"]["config"]]
    assert line in next(iter(config.values()))
    pod = one(objects, "Deployment", "gateway")["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert container["image"] == images[program]
    assert container["command"][0] == program
    assert f"/etc/gateway/{next(iter(config))}" in container["command"]
    service = one(objects, "Service", "gateway")["spec"]
    assert (service["type"], [item["name"] for item in service["ports"]]) == ("ClusterIP", ["grpc"])
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    # nginx counts every request, also one for its status page; the report compares that count.
    assert ("httpGet" in container["readinessProbe"]) is (program != "nginx")


@pytest.mark.parametrize("name", ["gateway", "gateway-nginx", "gateway-haproxy"])
def test_a_gateway_leads_to_the_echo_methods_only(name: str) -> None:
    text = next(iter(one(chart_render.objects(STRATEGIES[name], "servers"), "ConfigMap", "gateway")["data"].values()))
    assert ("prefix: /}" in text, "deny_status 404" in text, "return 404" in text) == (
        False,
        name == "gateway-haproxy",
        name == "gateway-nginx",
    )


@pytest.mark.parametrize("name", ["service", "envoy-resilient"])
def test_servers_and_probes_know_the_token_for_faults_and_nobody_else_is_told(name: str) -> None:
    objects = {part: chart_render.objects(STRATEGIES[name], part, faultToken="t0ken") for part in ("servers", "load")}
    secret = one(objects["servers"], "Secret")
    assert base64.b64decode(secret["data"]["token"]) == b"t0ken"
    told = {"name": fault_token.VARIABLE, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "token"}}}
    assert secret["metadata"]["name"] == SECRET
    server = one(objects["servers"], "Deployment")["spec"]["template"]["spec"]["containers"][0]
    client = one(objects["load"], "Job")["spec"]["template"]["spec"]["containers"][0]
    assert told in server["env"]
    assert (told in client["env"]) is ("probes" in STRATEGIES[name]["client"])
    assert "t0ken" not in json.dumps(objects)


def test_a_token_that_nobody_gave_is_another_one_each_time() -> None:
    found = {
        one(chart_render.objects(STRATEGIES["service"], "servers", faultToken=""), "Secret")["data"]["token"]
        for _ in range(2)
    }
    assert len(found) == 2
    assert min(len(base64.b64decode(token)) for token in found) == 32


@pytest.mark.parametrize(("name", "part"), CASES)
def test_an_envoy_can_be_looked_at_and_not_changed(name: str, part: str) -> None:
    for item in chart_render.objects(STRATEGIES[name], part):
        texts = item.get("data", {}).values() if item["kind"] == "ConfigMap" else ()
        for config in (yaml.safe_load(text) for text in texts if "\nadmin:\n" in text):
            paths = [next(iter(path.values())) for path in config["admin"]["allow_paths"]]
            assert paths == ["/ready", "/stats", "/clusters", "/config_dump"]


def test_a_changed_proxy_file_makes_new_pods() -> None:
    def noted(name: str, **values: Any) -> list[str]:
        objects = chart_render.objects(STRATEGIES[name], "servers", **values)
        pods = [item["spec"]["template"] for item in objects if item["kind"] == "Deployment"]
        return [pod["metadata"]["annotations"].get("grpc-lb-lab/config", "") for pod in pods]

    for name in ("gateway", "envoy-both"):
        assert noted(name) == noted(name, digest="x")
        assert noted(name) != noted(name, port=50099)


def test_the_envoy_beside_a_server_is_the_only_way_to_it() -> None:
    objects = chart_render.objects(STRATEGIES["envoy-both"], "servers")
    spec = one(objects, "Deployment")["spec"]["template"]["spec"]
    sidecar, server = spec["initContainers"][0], spec["containers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert server["args"][1] == "--listen=127.0.0.1:50061"
    assert server["readinessProbe"]["grpc"] == {"port": 50051}
    config = one(objects, "ConfigMap", "echo-envoy")["data"]["envoy.yaml"]
    assert "{address: 0.0.0.0, port_value: 50051}" in config
    assert "{address: 127.0.0.1, port_value: 50061}" in config
    assert "{address: 0.0.0.0, port_value: 9902}" in config, "clients read its counters"
    taken = one(chart_render.objects(STRATEGIES["envoy-both"], "servers", port=50061), "Deployment")
    assert taken["spec"]["template"]["spec"]["containers"][0]["args"][1] == "--listen=127.0.0.1:50062"


def test_the_hash_header_comes_from_the_strategy() -> None:
    config = one(chart_render.objects(STRATEGIES["envoy-maglev"], "load"), "ConfigMap", "load-envoy")
    assert "header: {header_name: x-user}" in config["data"]["envoy.yaml"]
