"""What the language and its libraries do otherwise, made cheaper: how classes are made."""
