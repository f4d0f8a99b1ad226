"""How a server is reached: what the URL asks for, and the connections that are used."""
