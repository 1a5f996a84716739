"""What `make` runs: it prepares `.venv`, shows a first answer and checks the tree. Standard library only."""
