"""How each model family writes its calls, a family a file. They are listed, and chosen, one floor up."""
