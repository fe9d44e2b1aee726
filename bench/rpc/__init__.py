"""gRPC beside REST, TorchServe's gRPC and a bare grpc.aio server: ``python -m bench --cases grpc``."""
