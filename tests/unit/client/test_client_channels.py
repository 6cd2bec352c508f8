"""From a strategy's client block to a gRPC channel."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvloop
from grpc_lb_lab.load.channels import core, modes
from grpc_lb_lab.model.errors import LabError

RETRY = {"methodConfig": [{"name": [{"service": "echo.v1.EchoService"}], "timeout": "5s"}]}


def options(plan):
    return dict(modes.channel_options(plan))


def test_pick_first_says_nothing(plan):
    assert "grpc.service_config" not in options(plan(channel="pick_first"))


def test_round_robin_is_merged_into_the_service_config(plan):
    config = json.loads(options(plan(channel="round_robin", client={"serviceConfig": RETRY}))["grpc.service_config"])
    assert config == {**RETRY, "loadBalancingConfig": [{"round_robin": {}}]}


def test_outlier_detection_goes_around_the_policy(plan):
    client = {"outlierDetection": {"interval": "1s", "maxEjectionPercent": 50}}
    config = json.loads(options(plan(channel="round_robin", client=client))["grpc.service_config"])
    (policy,) = config["loadBalancingConfig"]
    assert policy == {
        "outlier_detection_experimental": {
            "interval": "1s",
            "maxEjectionPercent": 50,
            "childPolicy": [{"round_robin": {}}],
        }
    }


def test_the_time_between_questions_to_dns_is_grpcs_own_unless_set(plan):
    name = "grpc.dns_min_time_between_resolutions_ms"
    assert name not in options(plan())
    assert options(plan(client={"dnsMinIntervalMs": 1000}))[name] == 1000


def test_every_channel_has_its_own_connections_and_no_foreign_proxy(plan):
    found = options(plan())
    assert found["grpc.use_local_subchannel_pool"] == 1
    assert found["grpc.enable_channelz"] == 1
    assert found["grpc.enable_http_proxy"] == 0


def test_keepalive_sets_the_timeout_that_the_transport_waits_for(plan):
    found = options(plan(client={"keepalive": {"timeMs": 10000, "timeoutMs": 5000, "permitWithoutCalls": True}}))
    assert found["grpc.keepalive_time_ms"] == 10000
    assert found["grpc.keepalive_timeout_ms"] == found["grpc.http2.ping_timeout_ms"] == 5000
    assert found["grpc.keepalive_permit_without_calls"] == 1


@pytest.mark.parametrize(
    ("target", "dns", "uri"),
    [
        ("headless", "127.0.0.1:53", "dns://127.0.0.1:53/echo:50051"),
        ("service", "", "dns:///echo:50051"),
        ("sidecar", "127.0.0.1:53", "ipv4:echo:50051"),
    ],
)
def test_target(plan, target, dns, uri):
    assert modes.target_uri(plan("echo:50051", target=target, dns=dns)) == uri


def test_unknown_mode_names_the_known_ones(plan):
    with pytest.raises(LabError, match="pick_first, round_robin"):
        modes.mode_of(plan(channel="least_request"))


def test_target_that_the_plan_does_not_have(plan):
    with pytest.raises(LabError, match=r"'sidecar'.*headless"):
        modes.target_address(plan(target="sidecar", targets={"headless": "echo:1"}))


def test_a_channel_to_as_many_replicas_as_there_may_be_still_names_its_policy(plan):
    """gRPC says which policy it made once, before all it does with 200 addresses, and forgets what does not fit."""
    addresses = ",".join(f"127.98.9.{number}:1" for number in range(1, 201))

    async def main():
        asked = modes.channel_options(plan(channel="round_robin"))
        channel, channelz_id = core.open_channel(f"ipv4:{addresses}", asked)
        async with channel:
            channel.get_state(try_to_connect=True)
            while core.look_at(channelz_id).state != "TRANSIENT_FAILURE":
                await asyncio.sleep(0.01)
            return core.look_at(channelz_id)

    look = uvloop.run(asyncio.wait_for(main(), 20))
    assert (len(look.subchannels), look.policies[-1:]) == (200, ("round_robin",))
