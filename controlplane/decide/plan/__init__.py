"""What to do: the first act, at once (`first_act.py`), and every containment weighed against the others (`choose.py`).

Law of this room: a plan is a value. Nothing is ordered here, and nothing is weighed by a figure that is not known.
"""
