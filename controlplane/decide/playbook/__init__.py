"""Playbooks: whether one fits an incident (`fit`), whether it can be relied on (`reliable`), what it does (`follow`),
what is wrong with it before anything has failed (`lint`), and what would be done if something did (`foresee`).

Law of this room: a playbook adds orders and never takes a rule away. Everything it orders goes through `Draft.order`.
"""
