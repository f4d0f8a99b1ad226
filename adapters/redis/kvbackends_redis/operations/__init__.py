"""The operations of the contract as commands and scripts."""
