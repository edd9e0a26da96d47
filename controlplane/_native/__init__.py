"""The compiled core: per-call state and sparse sweeps. Integers and buffers in, integers out; no I/O, no callbacks."""
