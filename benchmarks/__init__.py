"""How fast the program is, and whether that holds: `python -m benchmarks list`, `python -m benchmarks run NAME`.

    machine.py     what it ran on: processor, memory, versions, commit
    databases.py   an empty store on SQLite or PostgreSQL, for as long as it is needed
    population.py  a shop's users and what they did, put into a store fast, and known beside it so that answers can be checked
    report.py      timings, what they must be, and both as JSON and as tables
    pages.py       `python -m benchmarks report`: results → the page docs/benchmarks.md
    plot.py        bars as SVG
    compute.py     the benchmark `compute`: what a run costs when nothing, something or everything changed
    audiences.py   the audiences of `compute`, and who knows the answers beside the store
    by_hand.py     the SQL that somebody would write for them, to compare with
    looking.py     the part of `compute` that looks up one user, and one page of members
    push.py        the part of `compute` that pushes every user once, for its memory
    cost.py        runs a command and tells what it cost
    ingest.py      the benchmark `ingest`: how many calls the HTTP door makes durable in a second, beside what the database takes
    traffic.py     what a shop's SDKs send
    feeding.py     a client that costs little, in a process of its own
    serving.py     the real server in a process of its own, and one that does nothing
    bare.py        the rows that the server wrote by COPY or `executemany` alone
    reader.py      the benchmark `reader`: what taking calls in suffers while somebody reads the store for long
    steady.py      what sends calls at a steady rate, for it
    asking.py      who reads for long, for it
    start.py       the benchmark `start`: how long the command takes to start
    peers/         the benchmark `peers`: a sync with this program and with what a user would pick instead, correctness first
    delivery.py    the benchmark `delivery`: how fast what is owed leaves, beside a loop that posts bodies made beforehand
    sink.py        a destination that costs next to nothing, for it
    plans.py       the benchmark `plans`: each construct of the query language, and by which plan

A figure is only given where the answer was checked; a wrong answer ends the benchmark (`report.Wrong`).
"""
