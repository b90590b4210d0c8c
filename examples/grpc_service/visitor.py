"""Calls the service at the tunnel's public side, as it would call the service itself."""

import grpc

texts = {"request_serializer": str.encode, "response_deserializer": bytes.decode}

with grpc.insecure_channel("127.0.0.1:8081") as channel:
    greet = channel.unary_unary("/hello.v1.Greeter/Greet", **texts)
    count_down = channel.unary_stream("/hello.v1.Greeter/CountDown", **texts)

    print(greet("world"))
    print(*count_down("3"))
    try:
        greet("")
    except grpc.RpcError as error:
        print(error.code().name, error.details())
