"""Proxies that other people run: what they are to do, what they have acknowledged, and what their traffic tells.

Law of this room: a proxy is wanted to be in a state (`wanted`), and whoever speaks to it brings it there and says how
far it is (`reconcile`). Nothing here decides. What a person set in a proxy is never overridden, and what results of
calls say is judged by the native guards, as for calls made in process (`observe`).
"""
