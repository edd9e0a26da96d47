"""HAProxy: orders over its runtime API, results of calls from its log.

Law of this room: what is ordered has its lease inside HAProxy (`controlplane.lua`), so that it ends when we do. We hold
a server down by its health and by its weight; maintenance and drain are a person's, and we never write them.
"""
