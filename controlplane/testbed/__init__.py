"""Real proxies on loopback, found, configured as the how-to pages say and started: for the demo and for benchmarks.

Law of this room: what is started here is gone when its body ends, and when whoever started it is killed. It measures
nothing and decides nothing.
"""
