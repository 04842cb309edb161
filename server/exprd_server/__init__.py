"""The exprd server: an engine that compiles and runs graphs, and its gRPC face.

`engine.LocalEngine` works without gRPC (embedded use); `serve` puts it on a socket.
"""
