"""A counter of allocations, for the proof that a guarded call makes none."""

def start() -> None:
    """Count every block asked of Python's allocators from now on, all threads'. Raises RuntimeError when counting."""

def stop() -> int:
    """Stop counting; how many blocks it were. Raises RuntimeError when nothing counts."""
