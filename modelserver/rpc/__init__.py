"""gRPC: connections, calls and messages over HTTP/2, and the services, which lead to the use cases."""
