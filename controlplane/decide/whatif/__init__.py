"""What would be done if something failed: the production engine in a made-up minute, on a copy of the state.

Law of this room: nothing is guessed about the engine. It is asked, with the signals that guards would send.
"""
