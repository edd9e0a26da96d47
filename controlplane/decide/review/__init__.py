"""Looking back: an incident in sentences, in figures, as a report. Law of this room: it reads what is on record and
decides nothing, so the same journal gives the same text, byte for byte, years later and without the process."""
