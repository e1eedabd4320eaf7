"""What is Ray's: a process that holds the connection, the actors on its nodes, and what runs inside them."""
