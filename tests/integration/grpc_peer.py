"""A gRPC service and a client that finds it by the discovery service: run by an interpreter that has `grpcio`.

Prints the ports of its servers, then, once it has read where the plane is, who answered each call.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc


def server(name: str) -> int:
    """Serve a method that answers with `name`; the port."""

    class Answer(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: name.encode())

    running = grpc.server(ThreadPoolExecutor(4), handlers=(Answer(),))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    SERVERS.append(running)
    return int(port)


def ask_for_ever(plane: str) -> None:
    """Ask the service through whatever the plane says, and print who answered."""
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = json.dumps(
        {
            "xds_servers": [
                {"server_uri": plane, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
            ],
            "node": {"id": "grpc-1"},
        }
    )
    channel = grpc.insecure_channel("xds:///orders")
    call = channel.unary_unary("/orders/Ask")
    while True:
        try:
            answer = call(b"", timeout=5, wait_for_ready=True).decode()
        except grpc.RpcError as error:
            answer = f"failed {error.code()} {error.details()}"
        print(time.monotonic_ns(), answer, flush=True)


SERVERS: list[grpc.Server] = []

if __name__ == "__main__":
    print(*(server(name) for name in sys.argv[1:]), flush=True)
    ask_for_ever(sys.stdin.readline().strip())
