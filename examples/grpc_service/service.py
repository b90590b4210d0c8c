"""A gRPC service that greets. Its messages are UTF-8 texts, so that the example needs no generated code."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc


def greet(name: str, context: grpc.ServicerContext) -> str:
    if not name:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "whom?")
    return f"hello, {name}"


def count_down(start: str, context: grpc.ServicerContext) -> Iterator[str]:
    for number in range(int(start), 0, -1):
        yield str(number)


def main() -> None:
    texts = {"request_deserializer": bytes.decode, "response_serializer": str.encode}
    methods = {
        "Greet": grpc.unary_unary_rpc_method_handler(greet, **texts),
        "CountDown": grpc.unary_stream_rpc_method_handler(count_down, **texts),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("hello.v1.Greeter", methods)])
    server.add_insecure_port("127.0.0.1:50051")
    server.start()
    print("the service listens", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
