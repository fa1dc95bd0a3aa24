"""What passes between LiveKit's parts, read and written: tokens, webhooks."""
