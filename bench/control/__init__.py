"""How fast sessions move in the store, beside what the bare drivers do with the same rows."""
