"""The policies that text books, proxies and client libraries prescribe, re-implemented for comparison in one world.

Law of this room: each file is faithful to its source, with that source's defaults, and knows nothing of what it is
compared with. All of them share what any client has (`calls.Edge`): the same time-outs, the same number of attempts,
a retry goes to another replica than the one that failed, and the less busy one of two replicas drawn at random gets
the call. What a source recommends beside its own rule is given to it, and said where it is done.

No policy here can tell a failure from one that is relayed: to a proxy and to a client library both are a 5xx.
"""
