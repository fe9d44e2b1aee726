"""How many workers each version has, where the server decides: what it sees, the policy, the controller."""
