"""The rest of the process at its busiest, while faults are answered: spans, followers and scrapes, by real clients."""
