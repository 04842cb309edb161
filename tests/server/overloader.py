"""Callers of one function, all at once, in a process of their own; what became of each call.

Reads a line of JSON per round from standard input, {"callers": n, "seconds": s, "handle": h}, and
answers with one. A caller that is refused waits for as long as it is told, and calls again.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import grpc
import numpy as np

import exprd_proto as wire
from exprd_proto import ErrorDetail
from exprd_proto.arrays import array_to_wire

PER_CLIENT = 16  # callers that say that they are the same client
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


def caller(target: str, number: int, handle: str, end: float, found: list) -> None:
    call_id = wire.CallId(client_id=f"client-{number // PER_CLIENT}", seq=0)
    source = wire.ExecuteInput(array=array_to_wire(np.float64(number)))
    request = wire.ExecuteRequest(handle=handle, inputs=[source], call_id=call_id)
    with grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub = wire.ExecutorServiceStub(channel)
        grpc.channel_ready_future(channel).result(30)  # to connect is no part of a call
        while (start := time.perf_counter()) < end:
            pause, code = 0.0, "OK"
            try:
                stub.Execute(request, timeout=30)
            except grpc.RpcError as error:
                code = error.code().name
                if error.code() is FULL:
                    detail = dict(error.trailing_metadata())["exprd-error-bin"]
                    pause = ErrorDetail.FromString(detail).retry_after_ms / 1000
            found.append((code, time.perf_counter() - start))
            time.sleep(pause)


def round_of(target: str, callers: int, seconds: float, handle: str) -> dict:
    found: list[tuple[str, float]] = []
    end = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=caller, args=(target, number, handle, end, found))
        for number in range(callers)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    served = [seconds for code, seconds in found if code == "OK"]
    refused = [seconds for code, seconds in found if code == FULL.name]
    return {
        "rate": len(served) / elapsed,
        "refused": len(refused),
        "refusal": float(np.percentile(refused, 99)) if refused else 0.0,
        "refusal_median": float(np.median(refused)) if refused else 0.0,
        "others": sorted({code for code, _ in found} - {"OK", FULL.name}),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(round_of(sys.argv[1], **json.loads(line))) + "\n")
        sys.stdout.flush()
