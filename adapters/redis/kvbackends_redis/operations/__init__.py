"""The operations of the contract as Redis commands and Lua scripts."""
