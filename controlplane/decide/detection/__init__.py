"""Sequential tests on evidence that others collected, by the numbers of the compiled core.

Law of this room: one dial, the rate of false alarms; what the control plane itself caused is no evidence.
"""
