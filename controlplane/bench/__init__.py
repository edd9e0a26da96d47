"""What calls cost on this machine, beside their floor and their rivals, and how rivals behave where it matters.

Law of this room: no number without an empty call and its rivals timed in the same rounds; ratios are judged,
times never. A rival that is missing or breaks is a line of the report and never the end of the run.
"""
