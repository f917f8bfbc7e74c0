"""The published language: subjects, messages, ids, reasons and errors. Pure: no I/O, no clock, no randomness."""
