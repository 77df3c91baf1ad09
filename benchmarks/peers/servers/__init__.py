"""The peers' servers. Each runs in its peer's environment: it imports that and numpy only.

The environment tells: BENCHMARK_PORT to listen on, BENCHMARK_WEIGHT, the .npy file of W.
"""
