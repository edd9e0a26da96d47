"""How long a real proxy takes to do what was decided: to acknowledge it, and to send nothing where nothing is to go."""
