"""What programs are told: the objects that `--json` prints and that the query API answers with.

Names and shapes are fixed; more members may come, none may go. Reads the store, and knows nothing of terminals or of HTTP.

    instants.py  an instant as text           runs.py        one run
    audiences.py definitions, sizes, what is owed            people.py  one user, and who is in
    depends.py   what a query reads           deliveries.py  what is owed, what was rejected, and to owe it again
"""
