"""What the control plane knows, on SQLite or PostgreSQL.

`tables` says what is kept, `engine` opens the database, `store` moves sessions: one transaction locks the session's
row, runs the pure transition, and writes session, journal and outbox together. `outbox` hands out what is to be done.
"""
