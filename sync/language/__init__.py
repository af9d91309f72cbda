"""The query language of audiences and computed traits: text, typed tree, checker, static analysis, and its meaning in Python.

    text ──parse──▶ tree ──▶ reading   what it means, for one profile
                     │  ──▶ reads     what it reads, and when time alone can change it
                     └───▶ text      the tree as a person would write it

Pure: no I/O, no clock, no SQL. Import from the submodules; only `parse` costs anything to import.
"""
