"""Deployers: who rolls a version back. A command, a webhook, or a gate that a progressive deployer asks.

Law of this room: a roll-back is started once for each command, never again after a crash, and always ends in a word:
done, or failed and why. What a deployer does is its own; here it is started, timed, and listened to.
"""
