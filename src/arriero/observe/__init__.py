"""What is counted and what is logged: every metric's name and the shape of log lines. Knows no other room."""
