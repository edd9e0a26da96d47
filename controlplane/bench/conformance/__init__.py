"""How breakers and limiters behave in the moments that matter: the same probes on ours and on Python's libraries.

Law of this room: a probe is a function of one subject and knows no library; what it cannot ask is not judged. Time is
real and short, because a foreign library has no clock to replace, and what is probed is what its users run.
"""
