"""What is applied to a row: a user's function, a prompt, a program or a built-in; and what becomes of its reply."""
