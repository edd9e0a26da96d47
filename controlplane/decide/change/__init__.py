"""What changed, and whether the change is the cause.

noted       changes on record, and which were recent
sequential  the test between two versions
versions    when it is asked, and what follows
"""
