"""Workers on other machines: a node's agent runs each and dials the server; Ray decides where that is."""
