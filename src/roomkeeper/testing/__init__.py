"""What an application's own tests may use: a room server of their own, in a process of its own."""
